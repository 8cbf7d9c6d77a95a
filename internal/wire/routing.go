package wire

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

// Bounds of what a request may name.
const (
	maxModels    = 15 // beside each other in a list
	maxChain     = 4  // in a chain
	maxProviders = 32 // in one list
	maxNamed     = 200
)

// routing reads a member that says where a request goes, v, of the body root, and
// returns what is to be done to the body.
func routing(c *contract.Control, v, root jsonx.Value, w *Wishes) ([]llm.Edit, error) {
	name := c.Member[0]
	if v.Kind() == jsonx.Absent {
		return nil, nil
	}
	if c.Means == contract.ControlChain {
		return chain(name, v, w)
	}
	edits := []llm.Edit{{Name: name}}
	switch {
	case !v.Exists():
		return edits, nil
	case c.Means == contract.ControlProviders:
		return edits, providers(name, v, w)
	}
	models, err := texts(name, v, maxModels)
	if err != nil {
		return nil, err
	}
	first := root.Get("model").Text()
	if !root.Get("model").Exists() && len(models) > 0 {
		first = models[0]
		edits = append(edits, llm.Edit{Name: "model", Value: jsonx.AppendString(nil, first)})
	}
	w.ModelsAt = name
	for _, m := range models {
		if m != first && !slices.Contains(w.Models, m) {
			w.Models = append(w.Models, m)
		}
	}
	return edits, nil
}

// chain reads a model's name that is several, with > between them.
func chain(name string, v jsonx.Value, w *Wishes) ([]llm.Edit, error) {
	if !bytes.Contains(v.Inner(), []byte{'>'}) && !strings.Contains(v.Text(), ">") {
		return nil, nil
	}
	models := strings.Split(v.Text(), ">")
	for i, m := range models {
		if models[i] = strings.TrimSpace(m); models[i] == "" || slices.Contains(models[:i], models[i]) {
			return nil, wrong(name, fault.InvalidParameter, "A chain names each model once, with > between them")
		}
	}
	if len(models) > maxChain {
		return nil, wrong(name, fault.InvalidParameter, fmt.Sprintf("A chain has at most %d models", maxChain))
	}
	w.Models, w.ModelsAt = models[1:], name
	return []llm.Edit{{Name: name, Value: jsonx.AppendString(nil, models[0])}}, nil
}

// sorts are the names by which callers ask for an order of targets.
var sorts = map[string]string{
	"price": "least_cost", "latency": "least_latency", "throughput": "least_latency", "speed": "least_latency",
	"auto": "", "none": "", "default": "",
}

// providers reads which providers may answer: a name, or OpenRouter's object.
func providers(path string, v jsonx.Value, w *Wishes) (err error) {
	if v.Kind() == jsonx.String {
		if v.Text() == "" || len(v.Text()) > maxNamed {
			return wrong(path, fault.InvalidParameter, "Must be the name of a provider")
		}
		return only(path, []string{v.Text()}, w)
	}
	if v.Kind() != jsonx.Object {
		return wrong(path, fault.InvalidType, "Must be the name of a provider, or an object")
	}
	for key, m := range v.Members() {
		at := path + "." + string(key)
		if !m.Exists() {
			continue
		}
		switch string(key) {
		case "order":
			w.Order, err = texts(at, m, maxProviders)
		case "only":
			var names []string
			if names, err = texts(at, m, maxProviders); err == nil {
				err = only(at, names, w)
			}
		case "ignore":
			w.Ignore, err = texts(at, m, maxProviders)
		case "allow_fallbacks", "require_parameters": // what is not supported is always refused
			on, ok := m.Bool()
			if !ok {
				err = wrong(at, fault.InvalidType, "Must be true or false")
			}
			w.NoFallback = w.NoFallback || ok && !on && string(key) == "allow_fallbacks"
		case "sort":
			order, ok := sorts[m.Text()]
			if w.Sort = order; !ok {
				err = wrong(at, fault.InvalidParameter, "Must be price, latency, throughput, speed, auto, none or default")
			}
		case "max_price":
			err = maxPrice(at, m, w)
		case "data_collection":
			if m.Text() != "allow" {
				err = unsupported(at)
			}
		default:
			err = unsupported(at)
		}
		if err != nil {
			return err
		}
	}
	w.Selects = w.Selects || w.Sort != "" || len(w.Order)+len(w.Only)+len(w.Ignore) > 0
	return nil
}

// only lets no providers answer but these. A header may have named one already, which
// must be among them.
func only(at string, list []string, w *Wishes) error {
	w.Selects = true
	for _, named := range w.Only {
		if !slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, named) }) {
			return wrong(at, fault.InvalidParameter, w.OnlyAt+" names another provider")
		}
	}
	if len(w.Only) == 0 {
		w.Only, w.OnlyAt = list, at
	}
	return nil
}

// maxPrice reads the dearest prices, in dollars: per million tokens or characters,
// and for a request, an image or a minute. What is not named may cost anything.
func maxPrice(path string, v jsonx.Value, w *Wishes) error {
	if v.Kind() != jsonx.Object {
		return wrong(path, fault.InvalidType, "Must be an object")
	}
	w.MaxPriceAt = path
	for key, m := range v.Members() {
		at := path + "." + string(key)
		text := string(m.Raw())
		if m.Kind() == jsonx.String {
			text = m.Text()
		}
		var rate *money.Rate
		var each *money.Amount
		switch string(key) {
		case "prompt":
			rate = &w.MaxInput
		case "completion":
			rate = &w.MaxOutput
		case "characters":
			rate = &w.MaxCharacters
		case "request":
			each = &w.MaxRequest
		case "image":
			each = &w.MaxImage
		case "minute":
			each = &w.MaxMinute
		default:
			return unsupported(at)
		}
		var err error
		positive := false
		if rate != nil {
			*rate, err = money.ParseRate(text)
			positive = *rate > 0
		} else {
			*each, err = money.ParseUSD(text)
			positive = *each > 0
		}
		if err != nil || !positive {
			return wrong(at, fault.InvalidParameter, "Must be a number of dollars above 0")
		}
	}
	return nil
}

// texts reads a list of at least one name.
func texts(path string, v jsonx.Value, most int) ([]string, error) {
	if v.Kind() != jsonx.Array {
		return nil, wrong(path, fault.InvalidType, "Must be an array of names")
	}
	if n := v.Len(); n == 0 || n > most {
		return nil, wrong(path, fault.InvalidParameter, fmt.Sprintf("Must have 1 to %d names", most))
	}
	var out []string
	for i, item := range v.Items() {
		s := item.Text()
		if item.Kind() != jsonx.String || s == "" || len(s) > maxNamed {
			return nil, wrong(path+"."+strconv.Itoa(i), fault.InvalidType, "Must be a name")
		}
		out = append(out, s)
	}
	return out, nil
}

func wrong(path string, code fault.Code, message string) error {
	return fault.Fields([]fault.Detail{{Field: path, Code: code, Message: message}})
}

func unsupported(path string) error {
	return fault.New(fault.UnsupportedParameter, "%s is not supported here.", path).At(path)
}

// maxPatience is the longest wait of a client that is believed.
const maxPatience = 24 * time.Hour

// patience is how long an official SDK says that its client waits; 0: it does not.
func patience(h http.Header) time.Duration {
	least := time.Duration(0)
	for _, name := range [...]string{"X-Stainless-Timeout", "X-Stainless-Read-Timeout"} {
		v := h.Get(name)
		if v == "" {
			continue
		}
		s, err := strconv.ParseFloat(v, 64)
		if err != nil || !(s > 0) {
			continue
		}
		if d := time.Duration(min(s, maxPatience.Seconds()) * float64(time.Second)); least == 0 || d < least {
			least = max(d, time.Millisecond)
		}
	}
	return least
}
