package gemini

import (
	"net/url"
	"strconv"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/wire"
)

// Models writes GET models and GET models/{model} as Google does, but that a list
// of which no size is said is one page.
type Models struct{}

var _ wire.ModelPager = Models{}

// maxPage is the most models of a page; who asks for more gets as many.
const maxPage = 1000

// List appends the list of models as one page.
func (m Models) List(dst []byte, models []wire.Model) []byte { return m.list(dst, models, "") }

// Page appends the page that pageSize and pageToken ask for. The token is the id
// of the last model of the page before.
func (m Models) Page(dst []byte, models []wire.Model, query url.Values) ([]byte, error) {
	if token := first(query, "pageToken", "page_token"); token != "" {
		from := -1
		for i := range models {
			if models[i].ID == token {
				from = i + 1
			}
		}
		if from < 0 {
			return dst, fault.New(fault.InvalidParameter, "Is not from an answer of this list").At("pageToken")
		}
		models = models[from:]
	}
	next := ""
	if s := first(query, "pageSize", "page_size"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return dst, fault.New(fault.InvalidParameter, "Must be a whole number, not below 0").At("pageSize")
		}
		if n = min(n, maxPage); n > 0 && n < len(models) {
			models, next = models[:n], models[n-1].ID
		}
	}
	return m.list(dst, models, next), nil
}

// first returns the first of the parameters that is there.
func first(query url.Values, names ...string) string {
	for _, n := range names {
		if s := query.Get(n); s != "" {
			return s
		}
	}
	return ""
}

func (m Models) list(dst []byte, models []wire.Model, next string) []byte {
	dst = append(dst, `{"models":[`...)
	for i := range models {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = m.One(dst, models[i])
	}
	dst = append(dst, ']')
	if next != "" {
		dst = jsonx.AppendString(append(dst, `,"nextPageToken":`...), next)
	}
	return append(dst, '}')
}

// One appends one model. Limits that are not known are left out, and one that no
// surface of Google's can ask has no methods.
func (Models) One(dst []byte, m wire.Model) []byte {
	name := m.Name
	if name == "" {
		name = m.ID
	}
	dst = jsonx.AppendString(append(dst, `{"name":`...), "models/"+m.ID)
	dst = jsonx.AppendString(append(dst, `,"baseModelId":`...), m.ID)
	dst = jsonx.AppendString(append(dst, `,"version":"","displayName":`...), name)
	if m.Context > 0 {
		dst = strconv.AppendInt(append(dst, `,"inputTokenLimit":`...), m.Context, 10)
	}
	if m.MaxOutput > 0 {
		dst = strconv.AppendInt(append(dst, `,"outputTokenLimit":`...), m.MaxOutput, 10)
	}
	methods := "" // none of the dialect's does anything with models of other kinds
	switch m.Kind {
	case "chat":
		methods = `"generateContent","countTokens"`
	case "embedding":
		methods = `"embedContent","batchEmbedContents"`
	}
	dst = append(append(dst, `,"supportedGenerationMethods":[`...), methods...)
	return append(dst, "]}"...)
}
