package contract

import (
	"strconv"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// Data is what an answer of an account surface, a job or a list of models shows.
// A route's answer template picks from it; what the data lacks is null.
type Data struct {
	Values Values
	Lists  map[string][]Values // each in the order in which it is shown
	Raw    []byte              // JSON of a whole answer that is not the contract's to draw; nil: it is
}

// Values are named values of one thing.
type Values map[string]Value

// Value is one value that a template can show. The zero Value is null.
type Value struct {
	kind valueKind
	text string
	n    int64 // a number, an amount, a flag
	when time.Time
}

type valueKind uint8

const (
	valueNone valueKind = iota
	valueText
	valueNumber
	valueUSD
	valueFlag
	valueTime
)

// Text is a text; an empty one is there, too.
func Text(s string) Value { return Value{kind: valueText, text: s} }

// Number is a whole number.
func Number(n int64) Value { return Value{kind: valueNumber, n: n} }

// USD is an amount of money.
func USD(a money.Amount) Value { return Value{kind: valueUSD, n: int64(a)} }

// Flag is true or false.
func Flag(b bool) Value {
	if b {
		return Value{kind: valueFlag, n: 1}
	}
	return Value{kind: valueFlag}
}

// Time is a moment; the zero time is null.
func Time(t time.Time) Value {
	if t.IsZero() {
		return Value{}
	}
	return Value{kind: valueTime, when: t}
}

// shownAs is an aspect of a value under which a template may ask for it.
type shownAs uint8

const (
	asItself shownAs = iota // text, number, flag; a time in RFC 3339; money exact, as text
	asNumber                // money, exact, as a number
	asCents                 // money in whole cents, cut
	asUnix                  // a time in Unix seconds
	asMillis                // a time in Unix milliseconds
)

// answerTerm is one value that an answer can have: its name in [Data], and the
// placeholders it gives by its kind. Money called x is written x_usd, x_number
// and x_cents; a time called y_at is written y_at, y_at_unix and y_at_ms.
type answerTerm struct {
	name  string
	kind  valueKind
	about string
}

// answerList is a list that a template may repeat: {each: $name, as: …}.
type answerList struct {
	name  string
	about string
	terms []answerTerm
}

// answerWords is what one surface can show.
type answerWords struct {
	terms []answerTerm
	lists []answerList
}

// answerTexts are the texts of answers that are one of a few words, which the
// terms of a contract can rename.
var answerTexts = []string{"status", "transaction_type", "kind", "class", "scope"}

// usageTerms are sums of a usage report.
var usageTerms = []answerTerm{
	{"requests", valueNumber, "charged requests"},
	{"input_tokens", valueNumber, "tokens of the prompts"},
	{"output_tokens", valueNumber, "tokens of the answers, reasoning among them"},
	{"reasoning_tokens", valueNumber, "tokens of reasoning"},
	{"total_tokens", valueNumber, "tokens of prompts and answers"},
	{"charge", valueUSD, "what was charged"},
	{"refunded", valueUSD, "what of it was given back"},
	{"net_charge", valueUSD, "the charge less what was given back, at least 0"},
}

// with returns terms with more in front.
func with(terms []answerTerm, more ...answerTerm) []answerTerm {
	return append(append([]answerTerm(nil), more...), terms...)
}

var keyTerms = []answerTerm{
	{"id", valueText, "the key's id"},
	{"name", valueText, "its name"},
	{"prefix", valueText, "its first characters"},
	{"kind", valueText, "inference or billing"},
	{"active", valueFlag, "whether it works"},
	{"test", valueFlag, "whether it is a test key"},
	{"created_at", valueTime, "when it was made"},
	{"expires_at", valueTime, "when it expires; null: never"},
	{"revoked_at", valueTime, "when it was revoked; null: it was not"},
	{"last_used_at", valueTime, "its newest request; null: none"},
	{"requests", valueNumber, "its charged requests"},
	{"charge", valueUSD, "what they were charged"},
}

// moneyTerms are an account's balances.
var moneyTerms = []answerTerm{
	{"balance", valueUSD, "the posted balance"},
	{"available", valueUSD, "the balance less what requests in flight hold"},
	{"held", valueUSD, "what requests in flight hold"},
}

// answers lists, by surface, what answer templates can show.
var answers = map[string]answerWords{
	"account.balance": {terms: moneyTerms},
	"account.keys": {
		terms: append(with(keyTerms,
			answerTerm{"key", valueText, "the key itself; only in the answer that makes it"},
			answerTerm{"deleted", valueFlag, "whether the key was revoked"},
			answerTerm{"message", valueText, "a sentence for people"},
			answerTerm{"active_keys", valueNumber, "how many keys of the account work here"},
			answerTerm{"total_requests", valueNumber, "charged requests of the account"},
			answerTerm{"total_charge", valueUSD, "what they were charged"},
			answerTerm{"has_credits", valueFlag, "whether the balance is above 0"},
			answerTerm{"rate_requests", valueNumber, "requests that the limit in force allows"},
			answerTerm{"rate_seconds", valueNumber, "in how many seconds"},
			answerTerm{"rate_tokens", valueNumber, "tokens per minute that the limit in force allows"},
		), moneyTerms...),
		lists: []answerList{{"keys", "the account's keys that were not revoked", keyTerms}},
	},
	"account.usage": {
		terms: []answerTerm{{"limit", valueNumber, "most rows of a page"}, {"offset", valueNumber, "rows before the page"}},
		lists: []answerList{{"usage", "charged requests, newest first", []answerTerm{
			{"id", valueText, "the request's id"},
			{"model", valueText, "the model as it was asked for"},
			{"key_id", valueText, "the key's id"},
			{"input_tokens", valueNumber, "tokens of the prompt"},
			{"output_tokens", valueNumber, "tokens of the answer"},
			{"reasoning_tokens", valueNumber, "tokens of reasoning"},
			{"total_tokens", valueNumber, "tokens of prompt and answer"},
			{"charge", valueUSD, "what was charged"},
			{"created_at", valueTime, "when the request began"},
		}}},
	},
	"account.usage_summary": {
		terms: with(usageTerms,
			answerTerm{"scope", valueText, "key or account: what was summed up"},
			answerTerm{"key_id", valueText, "the key that was summed up; null: all"},
			answerTerm{"from", valueText, "the first day, YYYY-MM-DD"},
			answerTerm{"to", valueText, "the last day"},
			answerTerm{"group_by", valueText, "day, model, or both with a comma"},
			answerTerm{"as_of", valueTime, "when it was summed up"},
			answerTerm{"live_days", valueNumber, "days from the first to the last"},
		),
		lists: []answerList{
			{"by_day", "sums by day", with(usageTerms, answerTerm{"day", valueText, "YYYY-MM-DD"})},
			{"by_model", "sums by model", with(usageTerms, answerTerm{"model", valueText, "the model"})},
			{"by_day_model", "sums by day and model", with(usageTerms, answerTerm{"day", valueText, "YYYY-MM-DD"}, answerTerm{"model", valueText, "the model"})},
		},
	},
	"account.transactions": {
		terms: []answerTerm{{"limit", valueNumber, "most rows of a page"}, {"offset", valueNumber, "rows before the page"}},
		lists: []answerList{{"transactions", "movements of the balance, newest first", []answerTerm{
			{"id", valueNumber, "its number in the journal"},
			{"amount", valueUSD, "what the balance changed by; negative: less"},
			{"transaction_type", valueText, "usage, topup, grant, refund, adjust, expire or reduce; see terms"},
			{"description", valueText, "a sentence for people"},
			{"request", valueText, "the request's id; null: none"},
			{"created_at", valueTime, "when it was written"},
		}}},
	},
	"openai.models": {
		terms: []answerTerm{{"count", valueNumber, "how many models"}},
		lists: []answerList{{"models", "the models, by id", []answerTerm{
			{"id", valueText, "the model's id"},
			{"owned_by", valueText, "whose it is"},
			{"class", valueText, "its class, for plans"},
			{"kind", valueText, "chat, completion, embedding, moderation, image, speech or transcription"},
			{"created_at", valueTime, "when it was released; null: unknown"},
			{"context", valueNumber, "tokens of prompt and answer; null: unknown"},
			{"max_output", valueNumber, "most tokens of an answer; null: unknown"},
			{"input_price", valueUSD, "per million tokens of prompt, a short one where the price has steps; null: not charged by tokens"},
			{"output_price", valueUSD, "per million tokens of answer"},
			{"request_price", valueUSD, "per request; null: not charged by request"},
			{"vision", valueFlag, "takes images"},
			{"files", valueFlag, "takes documents"},
			{"audio", valueFlag, "takes audio"},
			{"video", valueFlag, "takes video"},
			{"tools", valueFlag, "calls tools"},
			{"reasoning", valueFlag, "takes a reasoning effort"},
			{"json_schema", valueFlag, "answers to a JSON schema"},
		}}},
	},
	"jobs": {
		terms: []answerTerm{
			{"job", valueText, "the job's id"},
			{"status", valueText, "queued, running, completed, cancelled or failed; see terms"},
			{"model", valueText, "the model"},
			{"total", valueNumber, "how many requests it has"},
			{"accepted", valueNumber, "how many of them were taken in"},
			{"completed", valueNumber, "how many were answered"},
			{"failed", valueNumber, "how many failed, or were cancelled"},
			{"hold", valueUSD, "what is still held for it"},
			{"charge", valueUSD, "what was charged so far"},
			{"created_at", valueTime, "when it was queued"},
			{"ended_at", valueTime, "when it ended; null: it has not"},
		},
		lists: []answerList{{"results", "its requests, in their order", []answerTerm{
			{"id", valueText, "the caller's own id of the request"},
			{"status", valueText, "queued, running, completed, failed or cancelled"},
			{"text", valueText, "the answer; null: none"},
			{"error", valueText, "the contract's code of what failed; null: nothing"},
			{"message", valueText, "what failed, for people"},
			{"input_tokens", valueNumber, "tokens of the prompt"},
			{"output_tokens", valueNumber, "tokens of the answer"},
			{"total_tokens", valueNumber, "tokens of both"},
			{"charge", valueUSD, "what was charged"},
		}}},
	},
}

// shown returns v in one of its aspects. What a value is not, it is null as.
func (v Value) shown(f field) value {
	switch {
	case v.kind == valueText && f.as == asItself:
		return value{s: v.text, there: true}
	case v.kind == valueNumber && f.as == asItself:
		return number(v.n)
	case v.kind == valueFlag && f.as == asItself:
		return value{s: strconv.FormatBool(v.n != 0), there: true, raw: true}
	case v.kind == valueUSD && f.as == asCents:
		return number(v.n / int64(money.Cent))
	case v.kind == valueUSD && (f.as == asItself || f.as == asNumber):
		return dollars(money.Amount(v.n), f)
	case v.kind == valueTime && f.as == asItself:
		return value{s: v.when.UTC().Format("2006-01-02T15:04:05.000Z07:00"), there: true}
	case v.kind == valueTime && f.as == asUnix:
		return number(v.when.Unix())
	case v.kind == valueTime && f.as == asMillis:
		return number(v.when.UnixMilli())
	}
	return value{}
}
