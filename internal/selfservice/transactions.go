package selfservice

import (
	"context"
	"strconv"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/obs"
)

// maxTransactions is how many rows a page of transactions may have.
const maxTransactions = 100

// transactions answers for account.transactions: what the balance moved by, for
// all keys of the account.
func (d *Desk) transactions(ctx context.Context, r *Request) (contract.Data, error) {
	q := query{values: r.Query}
	limit, offset := q.page(maxTransactions)
	if err := q.err(); err != nil {
		return contract.Data{}, err
	}
	entries, err := d.ledger.Transactions(ctx, r.account(), r.test(), limit, offset)
	if err != nil {
		return contract.Data{}, err
	}
	rows := make([]contract.Values, 0, len(entries))
	for i := range entries {
		rows = append(rows, transactionRow(&entries[i]))
	}
	return contract.Data{
		Values: contract.Values{"limit": contract.Number(int64(limit)), "offset": contract.Number(int64(offset))},
		Lists:  map[string][]contract.Values{"transactions": rows},
	}, nil
}

func transactionRow(e *ledger.Entry) contract.Values {
	row := contract.Values{
		"id": contract.Number(e.Seq), "amount": contract.USD(e.Effect()), "transaction_type": contract.Text(string(e.Kind)),
		"description": contract.Text(describe(e)), "created_at": contract.Time(e.Time.UTC()),
	}
	if e.Request != [16]byte{} {
		row["request"] = contract.Text(obs.RequestID(e.Request).String())
	}
	return row
}

// plain says what an entry is that nobody wrote a note for.
var plain = map[ledger.Kind]string{
	ledger.KindTopup:  "Credit was added.",
	ledger.KindGrant:  "Credit was granted.",
	ledger.KindRefund: "A charge was given back.",
	ledger.KindAdjust: "The balance was corrected upwards.",
	ledger.KindReduce: "The balance was corrected downwards.",
	ledger.KindExpire: "Granted credit expired.",
}

// describe says for people what an entry is.
func describe(e *ledger.Entry) string {
	if e.Kind == ledger.KindUsage {
		n := e.Tokens.Input + e.Tokens.Output
		if n == 1 {
			return e.Model + ": 1 token"
		}
		return e.Model + ": " + strconv.FormatInt(n, 10) + " tokens"
	}
	if e.Note != "" {
		return e.Note
	}
	return plain[e.Kind]
}
