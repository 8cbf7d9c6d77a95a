package ledger

import "crypto/sha256"

// Seal returns what the entry of a charge notes of its receipt, so that whoever
// alters the receipt must alter the entry, too, which the digest of its day covers.
// It is the first half of the SHA-256 of all that neither is in a column of an
// entry already nor is told later, as the delivery is.
func (w *ReceiptRow) Seal() (s [16]byte) {
	p := writer{b: make([]byte, 0, 64+len(w.Model)+len(w.Outcome)+len(w.Doc))}
	p.b = append(p.b, w.ID[:]...)
	p.int(int64(w.Hold))
	p.time(w.Started)
	p.string(w.Model)
	p.string(w.Outcome)
	p.b = append(p.b, w.Doc...)
	sum := sha256.Sum256(p.b)
	copy(s[:], sum[:])
	return s
}

// Contradicts returns what of a charged receipt does not agree with the detail of
// its entry, whose other columns do; empty: nothing. What a charge that was taken
// back said before is not known, nor is it of one that was entered before there were
// seals: then what the entry itself knows is compared.
func (w *ReceiptRow) Contradicts(detail []byte) string {
	seal := sealIn(detail)
	if w.Outcome == OutcomeAborted && w.Refunded == w.Charge {
		seal = nil
	}
	if seal != nil && w.Seal() == [16]byte(seal) {
		return ""
	}
	var e Entry
	var r Receipt
	switch {
	case e.SetDetail(detail) != nil:
		return "it cannot be read"
	case e.Model != w.Model:
		return "its model"
	case r.SetDoc(w.Doc) != nil || r.Usage != e.Tokens:
		return "its tokens"
	case seal != nil:
		return "its outcome, hold or details"
	}
	return ""
}

// sealIn returns the seal in the detail of an entry, or nil, without reading the
// rest.
func sealIn(detail []byte) []byte {
	if len(detail) <= 16 || detail[0] != sealedLayout {
		return nil
	}
	return detail[len(detail)-16:]
}
