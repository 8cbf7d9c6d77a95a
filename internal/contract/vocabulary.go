package contract

import (
	"slices"
)

// where says in which parts of a contract a placeholder has a meaning.
type where uint8

const (
	inBody   where = 1 << iota // an envelope, added members, headers of a fault
	inWords                    // the words of a fault
	inEach                     // the template of one bad field
	inDetail                   // the words of one bad field
	inExtra                    // an extra, which success answers have, too
)

// names resolves the placeholders of one part of a file.
type names interface {
	// find finds a placeholder by its name.
	find(name string) (f field, ok bool)
	// lists names what {each: $name, as: …} can repeat.
	lists() []string
	// within returns the names of the items of a list; nil: there is none.
	within(list string) names
	// String says where that is, such as "in words".
	String() string
}

var whereNames = map[where]string{
	inBody:   "in a body or header",
	inWords:  "in words",
	inEach:   "in the template of one bad field",
	inDetail: "in the words of one bad field",
	inExtra:  "in an extra",
}

// kind tells where the value of a placeholder comes from.
type kind uint8

const (
	kArg           kind = iota // Args, as text
	kArgNumber                 // Args, as a number where it is one
	kArgJSON                   // Args, as JSON
	kFault                     // the registry's name of the fault
	kStatus                    //
	kType                      //
	kCode                      //
	kMessage                   //
	kSpecific                  // the error's own message
	kPublic                    // the registry's sentence
	kUpstream                  // the provider's words
	kParam                     //
	kRequestID                 //
	kRetryAfter                // whole seconds
	kRetryAfterMS              //
	kResetsAt                  //
	kRequired                  // money: exact, as text, unless as and places say otherwise
	kAvailable                 //
	kHeld                      //
	kBalance                   //
	kCharge                    //
	kLatencyMS                 //
	kInputTokens               //
	kOutputTokens              //
	kTotalTokens               //
	kAnswer                    // a value of an answer's Data
	kRateLimit                 //
	kRateRemaining             //
	kRateReset                 //
	kDetailField               //
	kDetailMessage             // of one bad field, by the contract
	kDetailOwn                 // of one bad field, as it came
	kDetailCode                //
)

// field is one placeholder.
type field struct {
	kind   kind
	arg    string // for the kinds of Args, and for kAnswer
	as     shownAs
	usd    bool     // of kAnswer: it is money
	inItem bool     // of kAnswer: it is a value of an item of a list
	places decimals // of money as text
}

// money reports whether a placeholder stands for an amount of money.
func (f field) money() bool {
	switch f.kind {
	case kRequired, kAvailable, kHeld, kBalance, kCharge:
		return true
	}
	return f.usd
}

// roundsUp reports whether an amount that is shown with fewer decimals is
// rounded up, so that nobody is told less than he pays; others are cut, so that
// nobody is told of money that is not there.
func (f field) roundsUp() bool { return f.kind == kRequired || f.kind == kCharge }

// term is a row of the vocabulary.
type term struct {
	name  string
	in    where
	field field
	about string
}

const everywhere = inBody | inWords

// vocabulary is the closed list of placeholders. A name may stand in it
// several times, for different places.
var vocabulary = []term{
	{"status", everywhere, field{kind: kStatus}, "the HTTP status"},
	{"type", everywhere, field{kind: kType}, "the fault's type in this contract"},
	{"code", everywhere, field{kind: kCode}, "the fault's code in this contract; null if it has none"},
	{"fault", everywhere, field{kind: kFault}, "the registry's name of the fault"},
	{"message", inBody, field{kind: kMessage}, "the message"},
	{"specific", inWords, field{kind: kSpecific}, "the failure's own message, if it has one"},
	{"public", inWords, field{kind: kPublic}, "the registry's sentence for the fault"},
	{"upstream", everywhere, field{kind: kUpstream}, "the provider's own sentence, without secrets and addresses; never of a fault of our credential"},
	{"param", everywhere, field{kind: kParam}, "the field at fault, with dots; null if unknown"},
	{"request_id", everywhere | inExtra, field{kind: kRequestID}, "the request's id"},
	{"retry_after", everywhere, field{kind: kRetryAfter}, "whole seconds to wait, the same as the header"},
	{"retry_after_ms", everywhere, field{kind: kRetryAfterMS}, "milliseconds to wait"},
	{"resets_at", everywhere, field{kind: kResetsAt}, "when a daily limit resets, RFC 3339"},
	{"required_usd", everywhere, field{kind: kRequired}, "what the request needs, exact, as text"},
	{"required_number", everywhere, field{kind: kRequired, as: asNumber}, "the same as a number"},
	{"available_usd", everywhere, field{kind: kAvailable}, "what is free, exact, as text"},
	{"available_number", everywhere, field{kind: kAvailable, as: asNumber}, "the same as a number"},
	{"held_usd", everywhere, field{kind: kHeld}, "what requests in flight hold, exact, as text"},
	{"held_number", everywhere, field{kind: kHeld, as: asNumber}, "the same as a number"},
	{"balance", everywhere | inExtra, field{kind: kBalance, places: fixed(2)}, "the posted balance in dollars and cents, cut and not rounded"},
	{"balance_usd", everywhere | inExtra, field{kind: kBalance}, "the posted balance, exact, as text"},
	{"balance_number", everywhere | inExtra, field{kind: kBalance, as: asNumber}, "the same as a number"},
	{"charge_usd", everywhere | inExtra, field{kind: kCharge}, "what the request was charged, exact, as text"},
	{"charge_number", everywhere | inExtra, field{kind: kCharge, as: asNumber}, "the same as a number"},
	{"latency_ms", everywhere | inExtra, field{kind: kLatencyMS}, "whole milliseconds that the request took"},
	{"input_tokens", everywhere | inExtra, field{kind: kInputTokens}, "tokens of the prompt"},
	{"output_tokens", everywhere | inExtra, field{kind: kOutputTokens}, "tokens of the answer, reasoning among them"},
	{"total_tokens", everywhere | inExtra, field{kind: kTotalTokens}, "tokens of both"},
	{"rate_limit", everywhere | inExtra, field{kind: kRateLimit}, "requests that the limit in force allows"},
	{"rate_remaining", everywhere | inExtra, field{kind: kRateRemaining}, "requests that are left of it"},
	{"rate_reset", everywhere | inExtra, field{kind: kRateReset}, "when it resets, RFC 3339"},
	{"fallback_triggered", inExtra, field{kind: kAnswer, arg: "triggered"}, "whether another model than the first answers, of a request that names several; null: it names one"},
	{"field", inEach | inDetail, field{kind: kDetailField}, "the bad field, with dots"},
	{"message", inEach, field{kind: kDetailMessage}, "what is wrong with it"},
	{"message", inDetail, field{kind: kDetailOwn}, "what is wrong with it, as it came"},
	{"code", inEach, field{kind: kDetailCode}, "the code of what is wrong with it"},

	{"model", everywhere, field{kind: kArg, arg: "model"}, "the model as the caller named it"},
	{"class", everywhere, field{kind: kArg, arg: "class"}, "the class of the model"},
	{"plan", everywhere, field{kind: kArg, arg: "plan"}, "the account's plan"},
	{"kind", everywhere, field{kind: kArg, arg: "kind"}, "the kind of key that is wanted"},
	{"method", everywhere, field{kind: kArg, arg: "method"}, "the HTTP method"},
	{"allow", everywhere, field{kind: kArg, arg: "allow"}, "the methods that are allowed"},
	{"host", everywhere, field{kind: kArg, arg: "host"}, "the host that serves what was asked for"},
	{"job", everywhere, field{kind: kArg, arg: "job"}, "a job's id"},
	{"per", everywhere, field{kind: kArg, arg: "per"}, "the time that a limit counts, such as 60s"},
	{"limit", everywhere, field{kind: kArgNumber, arg: "limit"}, "a limit"},
	{"used", everywhere, field{kind: kArgNumber, arg: "used"}, "what is used of it"},
	{"tokens", everywhere, field{kind: kArgNumber, arg: "tokens"}, "tokens that the request needs in all"},
	{"input", everywhere, field{kind: kArgNumber, arg: "input"}, "tokens of it in the messages"},
	{"max_output", everywhere, field{kind: kArgNumber, arg: "max_output"}, "tokens of it for the answer"},
	{"context", everywhere, field{kind: kArgNumber, arg: "context"}, "tokens that the model takes"},
	{"moderation", inBody, field{kind: kArgJSON, arg: "moderation"}, "the moderation's result, JSON"},
	{"payment", inBody, field{kind: kArgJSON, arg: "payment"}, "the payment that is asked for, JSON"},
	{"accepts", inBody, field{kind: kArgJSON, arg: "accepts"}, "the payments that are accepted, JSON"},
	{"x402_version", inBody, field{kind: kArgJSON, arg: "x402_version"}, "the version of the payment protocol"},
}

func (w where) find(name string) (field, bool) {
	for _, t := range vocabulary {
		if t.name == name && t.in&w != 0 {
			return t.field, true
		}
	}
	return field{}, false
}

func (w where) lists() []string {
	switch w {
	case inBody:
		return []string{listDetails}
	case inExtra:
		return []string{listChain, listTried}
	}
	return nil
}

func (w where) within(list string) names {
	switch {
	case w == inBody && list == listDetails:
		return inEach
	case w == inExtra && (list == listChain || list == listTried):
		return chainNames(list)
	}
	return nil
}

func (w where) String() string { return whereNames[w] }

// listDetails is the list of bad fields.
const listDetails = "details"

// known reports whether a name has a meaning anywhere.
func known(name string) bool {
	for _, list := range inExtra.lists() {
		if _, ok := inExtra.within(list).find(name); ok || name == list {
			return true
		}
	}
	if name == listDetails || slices.ContainsFunc(vocabulary, func(t term) bool { return t.name == name }) {
		return true
	}
	for _, surface := range answerSurfaces() {
		in := answerNames{surface: surface}
		if _, ok := in.find(name); ok || in.within(name) != nil {
			return true
		}
		for _, list := range in.lists() {
			if _, ok := in.within(list).find(name); ok {
				return true
			}
		}
	}
	return false
}

// Args lists the names of [fault.Error] Args that a contract can show.
func Args() []string {
	var out []string
	for _, t := range vocabulary {
		if t.field.arg != "" {
			out = append(out, t.field.arg)
		}
	}
	slices.Sort(out)
	return out
}

// Placeholder is a row of the format's reference: a name that a contract may
// write as $name or {name}.
type Placeholder struct {
	Name    string
	Where   []string // the places where it has a meaning
	Meaning string
}

// Placeholders lists all that a contract may write, for the format's reference.
func Placeholders() []Placeholder {
	out := make([]Placeholder, 0, len(vocabulary))
	for _, t := range vocabulary {
		p := Placeholder{Name: t.name, Meaning: t.about}
		for w := inBody; w <= inExtra; w <<= 1 {
			if t.in&w != 0 {
				p.Where = append(p.Where, whereNames[w])
			}
		}
		out = append(out, p)
	}
	return out
}
