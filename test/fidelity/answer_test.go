package fidelity

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// answer is what an answer says, without a dialect.
type answer struct {
	choices map[int]*said
	usage   *tokens
	model   string
	failed  string // the error that it holds
	// prompted is why nothing was generated: the prompt was blocked.
	prompted string
	guessed  bool     // what was used is not told
	ended    bool     // has its terminal marker
	wrong    []string // contradicts itself or its grammar
	vectors  []value
	total    int64 // of a count of tokens
}

// said is what one choice says.
type said struct {
	text, thought, refusal string
	calls                  []call
	finish                 string         // stop, length, tool_calls, content_filter, pause, error; empty: none
	raw                    string         // finish in the dialect's word
	beyond                 bool           // something that not every dialect has: citations, server tools
	sound                  bool           // or a film
	images                 []part         // that the model made
	left                   []string       // kinds of output that no other dialect has
	pieces                 map[string]any // of the arguments of a call that continues
	at                     map[string]int
}

// call is one call of a tool; args is its JSON text, byte for byte.
type call struct {
	id, name, args string
	loose          bool // args were put together here, so their order and spelling are ours
}

// tokens is a usage by the classes that have a price. Input is all of the
// prompt, and reasoning a part of output. Some is not counted in tokens.
type tokens struct{ Input, Cached, Write, Write1h, Output, Reasoning, Images, Characters, Seconds int64 }

func (a *answer) choice(i int) *said {
	if a.choices == nil {
		a.choices = map[int]*said{}
	}
	if a.choices[i] == nil {
		a.choices[i] = &said{at: map[string]int{}}
	}
	return a.choices[i]
}

// complain notes what is wrong with an answer in itself.
func (a *answer) complain(format string, args ...any) {
	a.wrong = append(a.wrong, fmt.Sprintf(format, args...))
}

// closes is why a choice ended, where the dialect has no word for calls.
func (s *said) closes() string {
	if s.finish == "stop" && len(s.calls) > 0 {
		return "tool_calls"
	}
	return s.finish
}

// call returns the call under a key, a new one if there is none.
func (s *said) call(key string) *call {
	i, ok := s.at[key]
	if !ok {
		i = len(s.calls)
		s.at[key] = i
		s.calls = append(s.calls, call{})
	}
	return &s.calls[i]
}

// speaks reports whether s says anything.
func (s *said) speaks() bool {
	return s.text+s.thought+s.refusal != "" || len(s.calls) > 0 || s.beyond || s.shows()
}

func (a *answer) speaks() bool {
	for _, s := range a.choices {
		if s.speaks() {
			return true
		}
	}
	return len(a.vectors) > 0 || a.total > 0
}

// shows reports whether s holds images or sound.
func (s *said) shows() bool { return s.sound || len(s.images) > 0 }

// tellable reports whether a dialect can tell all that an answer shows: it has no
// place for sound, and one for images that are inline, or for none.
func (a *answer) tellable(d *dialect) bool {
	for _, s := range a.choices {
		for _, i := range s.images {
			if !d.images || i.data == "" && !d.linked {
				return false
			}
		}
		if s.sound {
			return false
		}
	}
	return true
}

// left are the kinds of output that no other dialect has, each once.
func (a *answer) left() (out []string) {
	for _, s := range a.choices {
		out = append(out, s.left...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// sameImages compares images: their bytes, and their types where they are told.
func sameImages(want, got []part) string {
	if len(want) != len(got) {
		return fmt.Sprintf("%d images, want %d", len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		if g.data != w.data || g.url != w.url || g.data != "" && w.mime != "" && g.mime != w.mime {
			return fmt.Sprintf("image %d is %q %.60s%.60s, want %q %.60s%.60s", i, g.mime, g.data, g.url, w.mime, w.data, w.url)
		}
	}
	return ""
}

// ends is why a choice ended, in our words. Calls go before the word: servers
// say stop beside them.
func (s *said) ends() string {
	switch {
	case s.finish != "" && s.finish != "stop":
		return s.finish
	case len(s.calls) > 0:
		return "tool_calls"
	}
	return "stop"
}

// blocked reports whether a filter ended every choice, or the model refused and
// said nothing else. That is free.
func (a *answer) blocked() bool {
	filtered, spoke, refused := len(a.choices) > 0, false, false
	for _, s := range a.choices {
		filtered = filtered && s.finish == "content_filter"
		spoke = spoke || s.text+s.thought != "" || len(s.calls) > 0 || s.beyond || s.shows()
		refused = refused || s.refusal != ""
	}
	return filtered || refused && !spoke
}

// gaveUp reports whether the model gave some choice up.
func (a *answer) gaveUp() bool { return a.ends("error") }

// paused reports whether the answer waits for its caller to go on, for which only
// one dialect has a word.
func (a *answer) paused() bool { return a.ends("pause") }

// ends reports whether some choice ended for that reason.
func (a *answer) ends(reason string) bool {
	for _, s := range a.choices {
		if s.finish == reason {
			return true
		}
	}
	return false
}

// broken reports whether an answer with status 200 is none: it holds an error,
// says nothing, or lacks its end.
func (a *answer) broken(sse bool) bool {
	if a.failed != "" {
		return true
	}
	done := len(a.choices) > 0
	for _, s := range a.choices {
		done = done && s.finish != ""
		if s.finish == "error" {
			return true
		}
	}
	if sse && !a.ended && !done {
		return true
	}
	if a.speaks() {
		return false
	}
	for _, s := range a.choices { // nothing was said, and there is a reason
		if s.finish != "" && (s.finish != "stop" || s.raw == "stop_sequence") {
			return false
		}
	}
	return true
}

// cost prices tokens: every class at its rate, rounded up once, and the fee for
// the request.
func (u tokens) cost() *big.Int { return u.costs(20) }

// costs does so with rates that are so many twentieths of what they are, rounded up.
func (u tokens) costs(twentieths int64) *big.Int {
	sum := new(big.Int)
	add := func(n, rate int64) {
		sum.Add(sum, new(big.Int).Mul(big.NewInt(n), big.NewInt((rate*twentieths+19)/20)))
	}
	add(u.Input-u.Cached-u.Write-u.Write1h, rates.input)
	add(u.Cached, rates.cached)
	add(u.Write, rates.write)
	add(u.Write1h, rates.write1h)
	add(u.Output, rates.output)
	u.units(sum)
	sum.Add(sum, big.NewInt(999_999)).Div(sum, big.NewInt(1_000_000))
	return sum.Add(sum, big.NewInt(rates.request))
}

// sameCalls compares calls: names, and arguments byte for byte, but for blanks
// between their tokens. Ids must be there and differ. Where arguments are an
// object in the dialect, what a model wrote that is none is put into one, unless
// it was cut off. Of calls that pass as they are, ids may be missing.
func sameCalls(want, got []call, objects, own bool) (out []string) {
	if len(want) != len(got) {
		return []string{fmt.Sprintf("%d calls, want %d: %.300v", len(got), len(want), got)}
	}
	ids := map[string]bool{}
	for i, g := range got {
		w, args := want[i], written(want[i].args)
		switch cut := args[0] == '{' && members(value(args)) == nil; {
		case objects && args == "null":
			args = "{}"
		case objects && cut && g.args == w.args:
		case objects && members(value(args)) == nil:
			args = `{"_raw":` + string(quote(w.args)) + `}`
		}
		same := args == written(g.args) || w.loose && sorted(value(args)) == sorted(value(g.args))
		if w.name != g.name || !same {
			out = append(out, fmt.Sprintf("call %d is %s(%.300s), want %s(%.300s)", i, g.name, g.args, w.name, args))
		}
		if !own && (g.id == "" || ids[g.id]) {
			out = append(out, fmt.Sprintf("call %d has the id %q", i, g.id))
		}
		ids[g.id] = true
	}
	return out
}

// written is the text of arguments without blanks; none are an empty object.
func written(args string) string {
	if strings.TrimSpace(args) == "" {
		return "{}"
	}
	return compact(value(args))
}
