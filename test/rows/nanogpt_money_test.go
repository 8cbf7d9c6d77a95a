package rows

import (
	"github.com/pontage/pontage/internal/money"
)

// nanoMoney are the rows about the balance.
var nanoMoney = map[string]func(*proof){
	"nanogpt/402-balance": nanoTooPoor,
}

// nanoTooPoor asks with a balance that is short, a nano-dollar short, and just
// enough.
func nanoTooPoor(p *proof) {
	nine := 0
	for i, k := range []struct{ path, body string }{
		{nanoChat, chat("nano-plain", `"max_tokens":913`)},
		{nanoChat, chat("nano-plain", `"max_tokens":77`, streamed)},
		{nanoChat, chat("nano-plain", `"max_completion_tokens":5001`, `"n":2`)},
		{nanoChat, chat("nano-plain", `"max_tokens":1`, streamed)},
		{nanoChat, chat("gpt-4o", `"max_tokens":1000`)},
		{nanoChat, chat("nano-plain")}, // no limit: the least that an answer may need
		{nanoChat, chat("nano-plain", streamed)},
		{nanoEmbeddings, `{"model":"text-embedding-3-small","input":"Is the bridge open?"}`},
	} {
		c := p.nano([]string{"0", "0.000000007"}[i%2], nil)
		a := p.declined(c, k.path, k.body)
		required := p.decimal(a, "requiredBalance")
		if got := a.header.Get("X-Required-USD"); required <= 7*money.Nano || got != required.String() {
			p.Errorf("%s: requiredBalance is %s, and X-Required-USD %s", k.body, required, got)
		}
		c.credit(p, (required - purseOf(p, c).posted - money.Nano).String())
		a = p.declined(c, k.path, k.body)
		if got := p.decimal(a, "requiredBalance"); got != required {
			p.Errorf("the same request now needs %s, and not %s", got, required)
		}
		if got := purseOf(p, c).posted; got != required-money.Nano {
			p.Errorf("the balance is %s, and was to be a nano-dollar less than %s", got, required)
		}
		c.credit(p, money.Nano.String())
		a = p.paid(c, k.path, k.body)
		if got := p.dollars(p.receiptOf(c, a).HoldUSD); got != required {
			p.Errorf("%s: it held %s, and had been told to need %s", k.body, got, required)
		}
		if required%10 != 0 {
			nine++
		}
		p.note("%s passes with exactly that", required)
		p.declined(c, k.path, k.body) // what it cost is missing now
	}
	if nine == 0 {
		p.Errorf("no amount has nine places: %v", p.notes)
	}
}
