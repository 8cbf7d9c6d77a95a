package fault

import (
	"fmt"

	"github.com/pontage/pontage/internal/money"
)

// Short returns the refusal of a request that needs more than is free of a
// balance, beside what requests in flight hold of it, with the sentence that
// tells the numbers. The code is one of a balance; class is that of the model in
// the account's plan, empty without one.
func Short(c Code, need, free, held money.Amount, class string) *Error {
	e := &Error{
		Code: c, LimitSource: "balance", HasMoney: true,
		Required: need, Available: free, Held: held, Balance: free + held,
	}
	switch c {
	case BalanceHeld:
		e.Message = fmt.Sprintf("This request needs $%s; $%s is available and $%s is held by requests in flight.", need, free, held)
	case CreditsRequired:
		e.Message = fmt.Sprintf("Models of class %s are paid from credits: this request needs $%s and $%s is available.", class, need, free)
	default:
		e.Message = fmt.Sprintf("This request needs $%s and $%s is available.", need, free)
	}
	if class != "" {
		e.With("class", class)
	}
	return e
}
