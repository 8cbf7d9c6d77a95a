package wire

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/money"
)

// ModelLister writes models as one surface shows them. Its methods append to dst.
type ModelLister interface {
	List(dst []byte, models []Model) []byte
	One(dst []byte, m Model) []byte
}

// ModelPager is a ModelLister that shows a part of the list to who asks for one.
type ModelPager interface {
	ModelLister
	// Page appends what the query of the request asks for. Its error is a
	// *fault.Error.
	Page(dst []byte, models []Model, query url.Values) ([]byte, error)
}

// models answers GET of the models list and of one model.
func (x *exchange) models() error {
	lister := x.s.o.Listers[x.route.Surface]
	if lister == nil {
		return fault.New(fault.NotFound, "")
	}
	if x.wanted != nil {
		return contract.Sample(x.wanted.code)
	}
	query, err := x.query()
	if err != nil {
		return err
	}
	list := x.offered()
	detailed := query.Get("detailed") == "true"
	var body []byte
	pager, pages := lister.(ModelPager)
	switch {
	case x.rest != "":
		i := slices.IndexFunc(list, func(m Model) bool { return m.ID == x.rest })
		if i < 0 {
			return fault.NoModel(x.rest[:min(len(x.rest), 200)], "model")
		}
		body = lister.One(nil, list[i])
	case x.route.HasAnswer(), detailed && x.route.HasDetailed():
		x.show(http.StatusOK, x.shown(modelsData(list)))
		return nil
	case pages:
		if body, err = pager.Page(nil, list, query); err != nil {
			return err
		}
	default:
		body = lister.List(nil, list)
	}
	for _, extra := range x.site.Contract.Extras(x.route.Surface, x.route.Envelope, x.facts) {
		// Listers write one object, and an extra's name stands nowhere else.
		body = append(body[:len(body)-1], `,"`+extra.Name+`":`...)
		body = append(append(body, extra.Value...), '}')
	}
	x.show(http.StatusOK, body)
	return nil
}

// offered lists the models that the route shows to the caller.
func (x *exchange) offered() []Model {
	list := x.caller.Models()
	if x.route.Only == "" {
		return list
	}
	return slices.DeleteFunc(list, func(m Model) bool { return m.Kind != x.route.Only })
}

// modelsData is a list of models as templates of contracts know it.
func modelsData(list []Model) contract.Data {
	rows := make([]contract.Values, len(list))
	for i, m := range list {
		v := contract.Values{
			"id": contract.Text(m.ID), "owned_by": contract.Text(m.OwnedBy), "class": contract.Text(m.Class), "kind": contract.Text(m.Kind),
			"created_at": contract.Time(m.Created),
			"vision":     contract.Flag(m.Vision), "files": contract.Flag(m.Files), "audio": contract.Flag(m.Audio), "video": contract.Flag(m.Video),
			"tools": contract.Flag(m.Tools), "reasoning": contract.Flag(m.Reasoning), "json_schema": contract.Flag(m.JSONSchema),
		}
		if m.Context > 0 {
			v["context"] = contract.Number(m.Context)
		}
		if m.MaxOutput > 0 {
			v["max_output"] = contract.Number(m.MaxOutput)
		}
		if m.PerToken {
			v["input_price"], v["output_price"] = contract.USD(money.Amount(m.Input)), contract.USD(money.Amount(m.Output))
		}
		if m.PerRequest {
			v["request_price"] = contract.USD(m.Request)
		}
		rows[i] = v
	}
	return contract.Data{
		Values: contract.Values{"count": contract.Number(int64(len(list)))},
		Lists:  map[string][]contract.Values{"models": rows},
	}
}
