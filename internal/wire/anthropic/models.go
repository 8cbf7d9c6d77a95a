package anthropic

import (
	"time"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/wire"
)

// Models writes GET /v1/models and GET /v1/models/{id} as Anthropic does. The
// list is one page.
type Models struct{}

var _ wire.ModelLister = Models{}

// List appends the list of models.
func (m Models) List(dst []byte, models []wire.Model) []byte {
	dst = append(dst, `{"data":[`...)
	for i, one := range models {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = m.One(dst, one)
	}
	dst = append(dst, `],"has_more":false,"first_id":`...)
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
