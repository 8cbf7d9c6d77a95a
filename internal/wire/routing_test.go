package wire

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/money"
)

func TestWhereARequestGoesIsReadAndTakenOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		contract, surface string
		body, sent        string
		wishes            Wishes
		bad               string // field
	}{
		{"openai", "openai.chat", `{"model":"a","models":["a","b","b","c"],"x":1}`, `{"model":"a","x":1}`, Wishes{Models: []string{"b", "c"}, ModelsAt: "models"}, ""},
		{"openai", "openai.chat", `{"models":["a","b"]}`, `{"model":"a"}`, Wishes{Models: []string{"b"}, ModelsAt: "models"}, ""},
		{"openai", "openai.chat", `{"model":"a","models":null,"provider":null}`, `{"model":"a"}`, Wishes{}, ""},
		{"openai", "openai.chat", `{"models":"a"}`, "", Wishes{}, "models"},
		{"openai", "openai.chat", `{"models":[]}`, "", Wishes{}, "models"},
		{"openai", "openai.chat", `{"models":["a",1]}`, "", Wishes{}, "models.1"},
		{"openai", "openai.chat", `{"model":"a>b"}`, `{"model":"a>b"}`, Wishes{}, ""},
		{"nanogpt", "openai.chat", `{"model":"a","provider":"Acme"}`, `{"model":"a"}`, Wishes{Only: []string{"Acme"}, OnlyAt: "provider", Selects: true}, ""},
		{
			"openai", "openai.chat",
			`{"provider":{"order":["x"],"only":["y"],"ignore":["z"],"allow_fallbacks":false,"require_parameters":true,"data_collection":"allow","sort":"price","max_price":{"prompt":1,"completion":"2.5","request":0.01}},"model":"a"}`,
			`{"model":"a"}`,
			Wishes{
				Order: []string{"x"}, Only: []string{"y"}, OnlyAt: "provider.only", Ignore: []string{"z"}, NoFallback: true, Sort: "least_cost",
				MaxInput: money.Rate(money.Dollar), MaxOutput: money.Rate(5 * money.Dollar / 2), MaxRequest: money.Cent, MaxPriceAt: "provider.max_price", Selects: true,
			},
			"",
		},
		{"openai", "openai.chat", `{"provider":{"allow_fallbacks":true,"sort":"throughput"}}`, `{}`, Wishes{Sort: "least_latency", Selects: true}, ""},
		{"openai", "openai.chat", `{"provider":{"sort":"auto"}}`, `{}`, Wishes{}, ""},
		{"openai", "openai.chat", `{"provider":{"sort":"none","ignore":["x"]}}`, `{}`, Wishes{Ignore: []string{"x"}, Selects: true}, ""},
		{"openai", "openai.chat", `{"provider":{"sort":"default","max_price":{"prompt":1}}}`, `{}`, Wishes{MaxInput: money.Rate(money.Dollar), MaxPriceAt: "provider.max_price"}, ""},
		{"openai", "openai.chat", `{"provider":{"allow_fallbacks":false}}`, `{}`, Wishes{NoFallback: true}, ""},
		{"nanogpt", "openai.chat", `{"model":"a","caching":true}`, `{"model":"a"}`, Wishes{Caching: true}, ""},
		{"nanogpt", "openai.chat", `{"model":"a","caching":false}`, `{"model":"a"}`, Wishes{}, ""},
		{"openai", "openai.chat", `{"provider":7}`, "", Wishes{}, "provider"},
		{"openai", "openai.chat", `{"provider":""}`, "", Wishes{}, "provider"},
		{"openai", "openai.chat", `{"provider":{"sort":"best"}}`, "", Wishes{}, "provider.sort"},
		{"openai", "openai.chat", `{"provider":{"only":[]}}`, "", Wishes{}, "provider.only"},
		{"openai", "openai.chat", `{"provider":{"allow_fallbacks":"no"}}`, "", Wishes{}, "provider.allow_fallbacks"},
		{"openai", "openai.chat", `{"provider":{"max_price":{"prompt":"cheap"}}}`, "", Wishes{}, "provider.max_price.prompt"},
		{"openai", "openai.chat", `{"provider":{"max_price":{"audio":1}}}`, "", Wishes{}, "provider.max_price.audio"},
		{"openai", "openai.chat", `{"provider":{"max_price":{"prompt":0}}}`, "", Wishes{}, "provider.max_price.prompt"},
		{"openai", "openai.images", `{"provider":{"max_price":{"image":"-1"}}}`, "", Wishes{}, "provider.max_price.image"},
		{
			"openai", "openai.images", `{"provider":{"max_price":{"image":"0.04","characters":15,"minute":0.01}},"model":"a"}`, `{"model":"a"}`,
			Wishes{MaxImage: 4 * money.Cent, MaxCharacters: money.Rate(15 * money.Dollar), MaxMinute: money.Cent, MaxPriceAt: "provider.max_price"},
			"",
		},
		{"openai", "openai.chat", `{"provider":{"data_collection":"deny"}}`, "", Wishes{}, "provider.data_collection"},
		{"openai", "openai.chat", `{"provider":{"quantizations":["fp8"]}}`, "", Wishes{}, "provider.quantizations"},
		{"ninjachat", "chat", `{"model":" a > b>c ","messages":[]}`, `{"model":"a","messages":[]}`, Wishes{Models: []string{"b", "c"}, ModelsAt: "model"}, ""},
		{"ninjachat", "chat", `{"model":"a\u003eb"}`, `{"model":"a"}`, Wishes{Models: []string{"b"}, ModelsAt: "model"}, ""},
		{"ninjachat", "chat", `{"model":"a","messages":["1 > 0"]}`, `{"model":"a","messages":["1 > 0"]}`, Wishes{}, ""},
		{"ninjachat", "chat", `{"model":"a>b","fallback_on_error":false}`, `{"model":"a"}`, Wishes{Models: []string{"b"}, ModelsAt: "model", NoFallback: true}, ""},
		{"ninjachat", "chat", `{"model":"a>>b"}`, "", Wishes{}, "model"},
		{"ninjachat", "chat", `{"model":"a>a"}`, "", Wishes{}, "model"},
		{"ninjachat", "chat", `{"model":"a>b>c>d>e"}`, "", Wishes{}, "model"},
		{"modelswitch", "openai.chat", `{"model":"a","models":["b"],"provider":"x"}`, `{"model":"a","models":["b"],"provider":"x"}`, Wishes{}, ""},
	} {
		con, err := contract.Load(c.contract)
		if err != nil {
			t.Fatal(err)
		}
		var w Wishes
		list := con.Controls(c.surface)
		sent := []byte(c.body)
		if mentioned(list, sent) || named(list, nil, sent) {
			sent, err = controls(list, sent, &w)
		}
		if c.bad != "" {
			e := fault.From(err)
			if e == nil || e.Param != c.bad && (len(e.Details) != 1 || e.Details[0].Field != c.bad) {
				t.Errorf("%s: %v, want %s refused", c.body, err, c.bad)
			}
			continue
		}
		if err != nil || string(sent) != c.sent || !reflect.DeepEqual(w, c.wishes) {
			t.Errorf("%s: sent %s with %+v (%v)", c.body, sent, w, err)
		}
	}
}

// A header and the body may name the same provider, or a list that has it: whoever
// names two is told so.
func TestAHeaderAndTheBodyNameOneProvider(t *testing.T) {
	t.Parallel()
	con, err := contract.Load("nanogpt")
	if err != nil {
		t.Fatal(err)
	}
	for body, bad := range map[string]string{
		`{"provider":"acme"}`: "", `{"provider":{"only":["x","Acme"]}}`: "", `{"provider":{"order":["x"]}}`: "",
		`{"provider":"x"}`: "provider", `{"provider":{"only":["x","y"]}}`: "provider.only",
	} {
		w := Wishes{Only: []string{"ACME"}, OnlyAt: "X-Provider", Selects: true}
		_, err := controls(con.Controls("openai.chat"), []byte(body), &w)
		e := fault.From(err)
		if bad == "" && (err != nil || len(w.Only) != 1 || !strings.EqualFold(w.Only[0], "acme")) || bad != "" && (e == nil || len(e.Details) != 1 || e.Details[0].Field != bad) {
			t.Errorf("%s: %v, %+v", body, err, w)
		}
	}
}

func TestHowLongAClientWaitsIsBelieved(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		total, read string
		want        time.Duration
	}{
		{"", "", 0},
		{"600", "", 10 * time.Minute},
		{"600", "2.5", 2500 * time.Millisecond},
		{"1", "60", time.Second},
		{"None", "NaN", 0},
		{"-1", "0", 0},
		{"1e300", "Inf", maxPatience},
		{"1e-12", "", time.Millisecond},
	} {
		h := http.Header{}
		h.Set("X-Stainless-Timeout", c.total)
		h.Set("X-Stainless-Read-Timeout", c.read)
		if got := patience(h); got != c.want {
			t.Errorf("%q and %q: %v, want %v", c.total, c.read, got, c.want)
		}
	}
}

// A form has no members that could be taken out: what in it speaks to the gateway is
// refused, where it would be ignored and sent on. A text that only mentions it is not.
func TestAFormThatSpeaksToTheGatewayIsRefused(t *testing.T) {
	t.Parallel()
	const head = "multipart/form-data; boundary=b"
	for _, c := range []struct{ contract, name, value, bad string }{
		{"openai", "provider", "acme", "provider"},
		{"openai", "provider[max_price][minute]", "0.001", "provider"},
		{"openai", "provider.order.0", "acme", "provider"},
		{"openai", "models[]", "a", "models"},
		{"openai", "model", "a", ""},
		{"openai", "prompt", "the models of a provider", ""},
		{"openai", "providers", "a", ""},
		{"nanogpt", "memory", "on", "memory"},
		{"nanogpt", "billing_mode", "x", ""}, // which means nothing
		{"ninjachat", "model", "a", ""},
		{"modelswitch", "provider", "acme", ""},
	} {
		con, err := contract.Load(c.contract)
		if err != nil {
			t.Fatal(err)
		}
		surface := "openai.transcriptions"
		if c.contract == "ninjachat" {
			surface = "chat"
		}
		body := "--b\r\nContent-Disposition: form-data; name=\"" + c.name + "\"\r\n\r\n" + c.value + "\r\n--b--\r\n"
		err = inForm(con.Controls(surface), http.Header{"Content-Type": {head}}, []byte(body))
		if e := fault.From(err); (err != nil) != (c.bad != "") || err != nil && (e.Code != fault.UnsupportedParameter || e.Param != c.bad) {
			t.Errorf("%s: %s: %v", c.contract, c.name, err)
		}
	}
}
