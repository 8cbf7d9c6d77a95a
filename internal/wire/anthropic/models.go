package anthropic

import (
	"net/url"
	"strconv"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/wire"
)

// Models writes GET /v1/models and GET /v1/models/{id} as Anthropic does, but
// that a list of which no limit is said is one page.
type Models struct{}

var _ wire.ModelPager = Models{}

// maxPage is the most models of a page.
const maxPage = 1000

// List appends the list of models as one page.
func (m Models) List(dst []byte, models []wire.Model) []byte { return m.list(dst, models, false) }

// Page appends the page that limit and one of after_id and before_id ask for.
func (m Models) Page(dst []byte, models []wire.Model, query url.Values) ([]byte, error) {
	size := len(models)
	if s := query.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxPage {
			return dst, fault.New(fault.InvalidParameter, "Must be from 1 to %d", maxPage).At("limit")
		}
		size = min(n, size)
	}
	after, before := query.Get("after_id"), query.Get("before_id")
	switch {
	case after != "" && before != "":
		return dst, fault.New(fault.InvalidParameter, "Must not stand beside after_id").At("before_id")
	case before != "":
		i, err := cursor(models, before, "before_id")
		if err != nil {
			return dst, err
		}
		from := max(0, i-size)
		return m.list(dst, models[from:i], from > 0), nil
	case after != "":
		i, err := cursor(models, after, "after_id")
		if err != nil {
			return dst, err
		}
		models = models[i+1:]
	}
	size = min(size, len(models))
	return m.list(dst, models[:size], size < len(models)), nil
}

// cursor finds the model that one of the ids names.
func cursor(models []wire.Model, id, param string) (int, error) {
	for i := range models {
		if models[i].ID == id {
			return i, nil
		}
	}
	return 0, fault.New(fault.InvalidParameter, "Names no model").At(param)
}

// list appends models, and whether there are more of them in the direction in
// which the caller goes.
func (m Models) list(dst []byte, models []wire.Model, more bool) []byte {
	dst = append(dst, `{"data":[`...)
	for i, one := range models {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = m.One(dst, one)
	}
	dst = strconv.AppendBool(append(dst, `],"has_more":`...), more)
	dst = append(dst, `,"first_id":`...)
	if len(models) == 0 {
		return append(dst, `null,"last_id":null}`...)
	}
	dst = jsonx.AppendString(dst, models[0].ID)
	dst = append(dst, `,"last_id":`...)
	dst = jsonx.AppendString(dst, models[len(models)-1].ID)
	return append(dst, '}')
}

// One appends one model. Limits that are not known are null.
func (Models) One(dst []byte, m wire.Model) []byte {
	name := m.Name
	if name == "" {
		name = m.ID
	}
	created := m.Created
	if created.IsZero() {
		created = time.Unix(0, 0)
	}
	dst = append(dst, `{"type":"model","id":`...)
	dst = jsonx.AppendString(dst, m.ID)
	dst = append(dst, `,"display_name":`...)
	dst = jsonx.AppendString(dst, name)
	dst = append(dst, `,"created_at":"`...)
	dst = created.UTC().AppendFormat(dst, time.RFC3339)
	dst = append(dst, `","max_input_tokens":`...)
	dst = appendLimit(dst, m.Context)
	dst = append(dst, `,"max_tokens":`...)
	dst = appendLimit(dst, m.MaxOutput)
	return append(dst, '}')
}

func appendLimit(dst []byte, n int64) []byte {
	if n <= 0 {
		return append(dst, `null`...)
	}
	return appendInt(dst, n)
}
