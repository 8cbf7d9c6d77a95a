package openai

import (
	"strconv"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/wire"
)

// Models writes GET /v1/models and GET /v1/models/{id}.
type Models struct{}

var _ wire.ModelLister = Models{}

// List appends the list of models.
func (m Models) List(dst []byte, models []wire.Model) []byte {
	dst = append(dst, `{"object":"list","data":[`...)
	for i, one := range models {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = m.One(dst, one)
	}
	return append(dst, `]}`...)
}

// One appends one model. The time of one that has none is 0.
func (Models) One(dst []byte, m wire.Model) []byte {
	dst = append(dst, `{"id":`...)
	dst = jsonx.AppendString(dst, m.ID)
	dst = append(dst, `,"object":"model","created":`...)
	var created int64
	if !m.Created.IsZero() {
		created = m.Created.Unix()
	}
	dst = strconv.AppendInt(dst, created, 10)
	dst = append(dst, `,"owned_by":`...)
	dst = jsonx.AppendString(dst, m.OwnedBy)
	return append(dst, '}')
}
