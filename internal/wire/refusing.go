package wire

import (
	"context"
	"net/http"
	"time"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/obs"
)

// Refusing returns a handler that asks refuse about every request first, and
// answers the fault it returns, if any, in the contract in force, without
// looking further. A process that goes down refuses so.
func (s *Server) Refusing(next http.Handler, refuse func() *fault.Error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e := refuse(); e != nil {
			s.refuse(w, r, e)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, e *fault.Error) {
	now := s.o.Now()
	id := obs.NewRequestID(now)
	x := &exchange{s: s, r: r.WithContext(context.WithoutCancel(r.Context())), id: id, w: newWriter(w, r, s.o.WriteStall), ev: &obs.Event{ID: id.String(), Start: now, Method: r.Method, Remote: r.RemoteAddr}}
	x.identify()
	w.Header().Set("Connection", "close")
	x.site = s.sites.Load().find(r)
	if x.site != nil {
		x.ev.Site = x.site.Name
		x.facts = contract.Facts{RequestID: x.ev.ID}
		x.route, _, _, _ = x.site.routes.find(r.Method, r.URL.Path)
		x.family()
	}
	x.fail(e)
	x.done(time.Now())
}
