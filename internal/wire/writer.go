package wire

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Writer is a response that knows whether its status has gone out. Frames of a
// stream may be written by its owner and by the heartbeat.
type Writer struct {
	rw    http.ResponseWriter
	rc    *http.ResponseController
	stall time.Duration

	trails bool // the caller's protocol has trailers
	unread bool // a body was announced, and nobody has read it to its end

	mu        sync.Mutex
	committed bool // the status line has gone out
	streaming bool // and what follows are frames
	broken    bool // the answer broke off in a way the connection must show
	status    int
	n         int64
	err       error // of the first write that did not get through: the caller has left
	deadline  time.Time
	lastWrite time.Time
	waiting   bool // something was written that was not sent off
	beat      *time.Timer
	beating   bool
}

// unreadWait is how long an answer waits for the rest of a body that nobody
// wants, so that the connection can be kept.
const unreadWait = time.Second

func newWriter(w http.ResponseWriter, r *http.Request, stall time.Duration) *Writer {
	return &Writer{rw: w, rc: http.NewResponseController(w), stall: stall, trails: r.ProtoAtLeast(1, 1), unread: r.ContentLength != 0}
}

// Header returns the header that goes out with the status.
func (w *Writer) Header() http.Header { return w.rw.Header() }

// whole commits with a status and a whole body.
func (w *Writer) whole(status int, body []byte) {
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	if w.unread {
		// The server reads on before it answers, and would do so for ever.
		_ = w.rc.SetReadDeadline(time.Now().Add(unreadWait)) // not every test's writer can
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.committed, w.status = true, status
	w.rw.WriteHeader(status)
	w.write(body)
}

// eventStream is the media type of streams. It is bare, as documented error
// references have it: an event stream is always UTF-8, and every official SDK
// takes it so.
const eventStream = "text/event-stream"

// jsonMedia is the media type of everything else, unless its dialect says otherwise.
const jsonMedia = "application/json"

// streamed sets the headers of a stream.
func streamed(h http.Header, media string) {
	h["Content-Type"] = []string{media}
	h["Cache-Control"] = []string{"no-cache, no-transform"}
	h["X-Accel-Buffering"] = []string{"no"}
}

// stream commits with status 200 and the headers of a stream, of which what the
// answer cost is told behind it.
func (w *Writer) stream(media string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commit(media)
}

// commit is stream. The caller holds mu.
func (w *Writer) commit(media string) {
	h := w.Header()
	streamed(h, media)
	if w.trails {
		h["Trailer"] = []string{"X-Charge-Usd"}
	}
	w.committed, w.streaming, w.status = true, true, http.StatusOK
	w.rw.WriteHeader(http.StatusOK)
}

// frame writes whole frames, which may be none, and sends off what was not sent
// yet. It reports whether the caller is still there.
func (w *Writer) frame(b []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.write(b)
	w.flush()
	return w.err == nil
}

// buffer writes whole frames that may wait for the next.
func (w *Writer) buffer(b []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.write(b)
	return w.err == nil
}

// piece is how much a caller must take within a stall.
const piece = 256 << 10

// write writes b in pieces. The caller holds mu.
func (w *Writer) write(b []byte) {
	for len(b) > piece {
		w.writePiece(b[:piece])
		b = b[piece:]
	}
	w.writePiece(b)
}

// writePiece holds the deadline of one write at least stall and at most twice
// that away, so that not every write sets a timer.
func (w *Writer) writePiece(b []byte) {
	if w.err != nil || len(b) == 0 {
		return
	}
	now := time.Now()
	if w.deadline.Sub(now) < w.stall {
		w.deadline = now.Add(2 * w.stall)
		_ = w.rc.SetWriteDeadline(w.deadline) // not every test's writer can
	}
	w.lastWrite = now
	n, err := w.rw.Write(b)
	w.n += int64(n)
	w.err = err
	w.waiting = true
}

func (w *Writer) flush() {
	if w.err == nil && w.waiting {
		w.err = w.rc.Flush()
		w.waiting = false
	}
}

// keepAlive writes beat whenever nothing was written for the given time, until
// stopBeating is called. Before the head has gone out it commits to a stream of
// that media type, and nobody else may use w meanwhile.
func (w *Writer) keepAlive(every time.Duration, media string, beat []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.beating = true
	w.lastWrite = time.Now()
	w.beat = time.AfterFunc(every, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.beating || w.err != nil {
			return
		}
		wait := every - time.Since(w.lastWrite)
		if wait <= 0 {
			if !w.committed {
				w.commit(media)
			}
			w.write(beat)
			w.flush()
			wait = every
		}
		w.beat.Reset(wait)
	})
}

func (w *Writer) stopBeating() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.beating {
		w.beating = false
		w.beat.Stop()
	}
}
