package ledger

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"sync"
	"time"
)

// Stored is the answer that an idempotency key stands for.
type Stored struct {
	Fingerprint [32]byte // of the request; filled in by the ledger
	Status      int
	Header      [][2]string // few: Content-Type and the like
	Body        []byte
	Kept        bool      // false: only the fact is stored, since the answer is too large or must not be kept
	Request     [16]byte  // the request that was charged, or the job that holds; filled in by the ledger
	At          time.Time // when it was; filled in by the ledger
}

// Bounds of what is kept, besides MaxStoredBody.
const (
	maxStoredFields = 32
	maxStoredHeader = 8 << 10 // bytes of all fields
	compressAbove   = 1 << 10 // bytes of a body
)

// IdemRow is the answer of an idempotency key as a [Journal] stores it.
type IdemRow struct {
	IdemKey
	Fingerprint [32]byte
	Seq         int64 // the usage entry; 0: there is none
	Request     [16]byte
	Status      int
	Kept        bool
	Claimed     time.Time // an older row of the key may be replaced if it had expired by then
	At          time.Time
	ExpiresAt   time.Time
	Doc         []byte // header and body
}

// keep takes the claim for the answer st, of which nil is only the fact. The
// answer's body is not copied.
func (c *Claim) keep(e *Engine, account int64, test bool, st *Stored, request [16]byte, at time.Time) (*Claim, error) {
	if st == nil {
		st = new(Stored)
	}
	kept := *st
	kept.Fingerprint, kept.Request, kept.At = c.fp, request, at
	if !kept.Kept || kept.tooLarge() {
		kept.Kept, kept.Header, kept.Body = false, nil, nil
	}
	row := &IdemRow{
		IdemKey: c.key, Fingerprint: c.fp, Request: request, Status: kept.Status, Kept: kept.Kept,
		Claimed: c.at, At: at, ExpiresAt: at.Add(IdemTTL),
	}
	if kept.Kept {
		row.Doc = kept.doc()
	}
	used, err := c.use(e, account, test)
	if err == nil {
		used.stored, used.row = &kept, row
	}
	return used, err
}

func (st *Stored) tooLarge() bool {
	size := 0
	for _, f := range st.Header {
		size += len(f[0]) + len(f[1])
	}
	return len(st.Body) > MaxStoredBody || len(st.Header) > maxStoredFields || size > maxStoredHeader
}

// Version of the layout that doc writes, and how the body is in it.
const (
	storedLayout = 1
	bodyPlain    = 0
	bodyDeflated = 1
)

// doc packs the header and the body, which is compressed if that pays.
func (st *Stored) doc() []byte {
	var w writer
	w.b = append(w.b, storedLayout)
	w.int(int64(len(st.Header)))
	for _, f := range st.Header {
		w.string(f[0])
		w.string(f[1])
	}
	body, form := st.Body, byte(bodyPlain)
	if len(body) > compressAbove {
		if small := deflate(body); len(small) < len(body) {
			body, form = small, bodyDeflated
		}
	}
	w.b = append(w.b, form)
	w.int(int64(len(st.Body)))
	w.b = append(w.b, body...)
	return w.b
}

// Stored unpacks the row.
func (r *IdemRow) Stored() (*Stored, error) {
	st := &Stored{Fingerprint: r.Fingerprint, Status: r.Status, Kept: r.Kept, Request: r.Request, At: r.At}
	if !r.Kept {
		return st, nil
	}
	d := reader{b: r.Doc}
	if v := d.byte(); v != storedLayout {
		return nil, fmt.Errorf("stored answer: unknown layout %d", v)
	}
	for range d.count() {
		st.Header = append(st.Header, [2]string{d.string(), d.string()})
	}
	form, size := d.byte(), d.int()
	if d.bad || size < 0 || size > MaxStoredBody {
		return nil, fmt.Errorf("stored answer: %w", errMalformed)
	}
	st.Body = bytes.Clone(d.b)
	if form == bodyDeflated {
		var err error
		if st.Body, err = inflate(d.b, int(size)); err != nil {
			return nil, fmt.Errorf("stored answer: %w", err)
		}
	}
	if len(st.Body) != int(size) {
		return nil, fmt.Errorf("stored answer: %w", errMalformed)
	}
	return st, nil
}

// deflaters are dear to make.
var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil {
		panic("deflate: " + err.Error()) // there is such a level
	}
	return w
}}

func deflate(b []byte) []byte {
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	var out bytes.Buffer
	w.Reset(&out)
	_, _ = w.Write(b) // a buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

// inflate returns the size bytes that b holds. It reads no more than one beyond.
func inflate(b []byte, size int) ([]byte, error) {
	r := flate.NewReader(bytes.NewReader(b))
	out := make([]byte, size)
	if _, err := io.ReadFull(r, out); err != nil {
		return nil, errMalformed
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return nil, errMalformed
	}
	return out, nil
}
