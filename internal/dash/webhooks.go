package dash

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pontage/pontage/internal/outbox"
)

// Webhooks keeps the events that the operator's webhook is told of.
type Webhooks interface {
	// List returns at most limit events, the latest first, of that state (empty:
	// any), below the id before (zero: from the first).
	List(ctx context.Context, state outbox.State, before [16]byte, limit int) ([]outbox.Row, error)
	// Retry makes an event due now. It is outbox.ErrNotFound if there is none.
	Retry(ctx context.Context, id [16]byte) (*outbox.Row, error)
}

// webhookJSON is an event and how its delivery goes.
type webhookJSON struct {
	ID      string         `json:"id"`
	Type    string         `json:"type"`
	State   string         `json:"state"`
	Tries   int            `json:"tries"`
	NextAt  *time.Time     `json:"next_at"`  // of a pending one: not before
	EndedAt *time.Time     `json:"ended_at"` // when it was delivered or given up
	Error   *string        `json:"error"`    // of the last try
	Body    jsontext.Value `json:"body"`     // what is sent
}

func webhook(r *outbox.Row) (webhookJSON, error) {
	body, err := outbox.Body(&r.Event)
	out := webhookJSON{
		ID: outbox.ID(r.Event.ID), Type: string(r.Event.Kind), State: string(r.State), Tries: r.Tries,
		EndedAt: stampOf(r.Ended), Error: orNull(r.Error), Body: body,
	}
	if r.State == outbox.Pending {
		out.NextAt = stampOf(r.Next)
	}
	return out, err
}

func (s *server) listWebhooks(c *call) error {
	q := c.query()
	limit, cursor, state := q.page(), q.text("cursor"), outbox.State(q.text("state"))
	if state != "" && !slices.Contains(outbox.States(), state) {
		q.bad(invalid("state", "must be one of pending, delivered, failed"))
	}
	if err := q.done(); err != nil {
		return err
	}
	var before [16]byte
	if cursor != "" {
		var err error
		if before, err = outbox.ParseID(cursor); err != nil {
			return badCursor()
		}
	}
	out := list[webhookJSON]{Data: []webhookJSON{}}
	var rows []outbox.Row
	if s.Webhooks != nil {
		var err error
		if rows, err = s.Webhooks.List(c.ctx(), state, before, limit+1); err != nil {
			return err
		}
	}
	for i := range rows[:min(limit, len(rows))] {
		w, err := webhook(&rows[i])
		if err != nil {
			return err
		}
		out.Data = append(out.Data, w)
	}
	if len(rows) > limit {
		out.Next = &out.Data[limit-1].ID
	}
	return c.write(http.StatusOK, out)
}

// retryWebhook makes an event due now, whatever became of it.
func (s *server) retryWebhook(c *call) error {
	if err := c.query().done(); err != nil {
		return err
	}
	id, err := outbox.ParseID(c.r.PathValue("webhook"))
	if err == nil && s.Webhooks == nil {
		err = outbox.ErrNotFound
	}
	var row *outbox.Row
	if err == nil {
		row, err = s.Webhooks.Retry(c.ctx(), id)
	}
	if errors.Is(err, outbox.ErrNotFound) {
		return fail(http.StatusNotFound, codeNotFound, "", "there is no such event")
	}
	if err != nil {
		return err
	}
	out, err := webhook(row)
	if err != nil {
		return err
	}
	return c.write(http.StatusOK, out)
}
