package ledger

import "crypto/sha256"

// Seal returns what the entry of a charge notes of its receipt, so that whoever
// alters the receipt must alter the entry, too, which the digest of its day covers.
// It is the first half of the SHA-256 of all that is not told later: the delivery
// and what is refunded.
func (w *ReceiptRow) Seal() (s [16]byte) {
	p := writer{b: make([]byte, 0, 128+len(w.Model)+len(w.Outcome)+len(w.Doc))}
	p.b = append(p.b, w.ID[:]...)
	for _, n := range [...]int64{w.Account, w.Key, int64(w.Hold), int64(w.Charge), int64(w.Absorbed)} {
		p.int(n)
	}
	p.bool(w.Test)
	p.time(w.Started)
	p.string(w.Model)
	p.string(w.Outcome)
	p.b = append(p.b, w.Doc...)
	sum := sha256.Sum256(p.b)
	copy(s[:], sum[:])
	return s
}

// Contradicts returns what of a charged receipt does not agree with its entry,
// which is the one that it names; empty: nothing. What a charge that was taken back
// said before is not known, nor is it of one that was entered before there were
// seals: then what the entry itself knows is compared.
func (w *ReceiptRow) Contradicts(e *Entry) string {
	switch {
	case e.Kind != KindUsage || e.Request != w.ID:
		return "its request"
	case e.Account != w.Account || e.Test != w.Test:
		return "its account"
	case e.Key != w.Key:
		return "its key"
	case e.Amount != w.Charge:
		return "its charge"
	case e.Model != w.Model:
		return "its model"
	}
	if e.Seal != [16]byte{} && (w.Outcome != OutcomeAborted || w.Refunded != w.Charge) {
		if w.Seal() != e.Seal {
			return "its outcome, hold or details"
		}
		return ""
	}
	if r, err := w.Receipt(); err != nil || r.Usage != e.Tokens {
		return "its tokens"
	}
	return ""
}
