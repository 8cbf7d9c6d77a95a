package wire

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
)

// Desk answers what callers ask of the gateway itself: about their account, and
// about their jobs.
type Desk interface {
	// Answer returns what the contract's template shows. Its error is a
	// *fault.Error.
	Answer(ctx context.Context, q Question) (contract.Data, error)
}

// Question is one request to a desk.
type Question struct {
	Surface, Method string
	Envelope        string // of the route
	ID              string // what the wildcard of the path stands for
	Site            *Site
	Caller          Caller
	Query           url.Values
	Body            []byte // of POST, PUT and PATCH; the desk checks it
	// Keep is not nil if an idempotency key was claimed: it makes of the answer
	// what is to be kept for it, by the desk, in one step with what it does.
	Keep func(contract.Data) *Kept
}

// ask answers a surface that has a desk.
func (x *exchange) ask(d Desk) error {
	if x.wanted != nil {
		return contract.Sample(x.wanted.code)
	}
	query, err := x.query()
	if err != nil {
		return err
	}
	q := Question{Surface: x.route.Surface, Method: x.route.Method, Envelope: x.route.Envelope, ID: x.rest, Site: x.site, Caller: x.caller, Query: query}
	if teller, ok := d.(Teller); ok && x.r.Method == http.MethodGet {
		if err := x.askedInBody(query); err != nil {
			return err
		}
		events, err := teller.Tell(x.r.Context(), q)
		if err != nil {
			return err
		}
		if events != nil {
			return x.tell(events)
		}
	}
	switch x.route.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		if err := x.read(JSON); err != nil {
			return err
		}
		q.Body = x.body
	}
	if x.route.Method == http.MethodPost {
		if done, err := x.claim(x.body); done || err != nil {
			return err
		}
	}
	if x.claimed {
		q.Keep = func(data contract.Data) *Kept {
			k := x.kept(x.shown(data))
			k.Status = x.route.Status
			return k
		}
	}
	data, err := d.Answer(x.r.Context(), q)
	if err != nil {
		return err
	}
	if posted, known := x.caller.Balance(); known {
		x.facts.Balance = posted // after what was asked for
	}
	x.show(x.route.Status, x.shown(data))
	return nil
}

// query reads the query. What cannot be read is not passed over: the answer would
// be one to another question.
func (x *exchange) query() (url.Values, error) {
	query, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return nil, fault.New(fault.InvalidRequest, "The query of the address is not valid.")
	}
	return query, nil
}

// shown is an answer as the contract shows it.
func (x *exchange) shown(data contract.Data) []byte {
	if data.Raw != nil {
		return jsonx.Splice(data.Raw, x.site.Contract.Extras(x.route.Surface, x.route.Envelope, x.facts))
	}
	return x.site.Contract.Answer(x.route, x.r.URL.Query().Get("detailed") == "true", data, x.facts)
}

// show writes an answer of the gateway's own.
func (x *exchange) show(status int, body []byte) {
	x.w.Header()["Content-Type"] = []string{jsonMedia}
	x.extraHeaders()
	x.ev.Outcome = "ok"
	x.free()
	x.w.whole(status, body)
}

// elsewhere is the fault of a route that the contract keeps for sites of the
// other role, and of a key of the account pages at another site.
func (x *exchange) elsewhere() error {
	if x.route.Kind == "none" {
		return nil
	}
	if (x.route.Role == "dashboard") == x.site.Dashboard {
		if x.site.Dashboard || len(x.site.KeySites) == 0 {
			return nil
		}
		if of := x.caller.Who().Key.Site; of != "" && !strings.EqualFold(of, x.site.Name) {
			return fault.New(fault.EndpointNotAllowed, "This key belongs to the host of the account pages.")
		}
		return nil
	}
	if x.site.Dashboard {
		return fault.New(fault.EndpointNotAllowed, "This host serves the account pages. Send API requests to the API's host.")
	}
	return fault.New(fault.EndpointNotAllowed, "This endpoint is served by the host of the account pages, and not for keys of the API.")
}
