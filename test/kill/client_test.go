package kill

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// payer is an account that the test made.
type payer struct {
	id   string
	num  int64 // as the database has it
	name string
}

// key is one that the test made, with its limits of the day; 0: none.
type key struct {
	account        *payer
	id, secret     string
	num            int64
	requestsPerDay int64
	usdPerDay      int64
}

// jobLimit is how long a job may take, whatever happens.
const jobLimit = 60 * time.Second

// do sends the job's request and notes what became of it.
func (j *job) do(client *http.Client, base string) {
	ctx, cancel := context.WithTimeout(context.Background(), jobLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+j.surface, bytes.NewReader(j.body()))
	if err != nil {
		panic(err) // the URL is the harness's own
	}
	req.Header.Set("Content-Type", "application/json")
	if j.surface == messages {
		req.Header.Set("X-Api-Key", j.key.secret)
		req.Header.Set("Anthropic-Version", "2023-06-01")
	} else {
		req.Header.Set("Authorization", "Bearer "+j.key.secret)
	}
	hurry := j.hurry
	if j.leaves > 0 && !j.stream {
		hurry = j.first/2 + time.Duration(j.leaves)*time.Millisecond
	}
	if hurry > 0 {
		t := time.AfterFunc(hurry, cancel)
		defer t.Stop()
	}
	resp, err := client.Do(req)
	if err != nil {
		j.lost(ctx, err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	j.meet(resp.Header.Get("X-Request-Id"))
	switch {
	case resp.StatusCode != http.StatusOK:
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		after, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		j.mu.Lock()
		j.retryAfter = after
		j.mu.Unlock()
		j.end(refused, resp.StatusCode, string(b))
	case j.stream:
		j.read(ctx, cancel, resp)
	default:
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			j.lost(ctx, err)
			return
		}
		j.end(acked, http.StatusOK, "")
		j.told(resp.Header.Get("X-Charge-Usd"))
	}
}

// lost notes that no end came.
func (j *job) lost(ctx context.Context, err error) {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		j.end(broken, 0, "timed out: "+err.Error())
	case ctx.Err() != nil:
		j.end(left, 0, "")
	default:
		j.end(broken, 0, err.Error())
	}
}

func (j *job) told(charge string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.toldUSD = charge
}

// read reads a stream to its final bytes, or to where the client goes.
func (j *job) read(ctx context.Context, cancel context.CancelFunc, resp *http.Response) {
	lines := bufio.NewReaderSize(resp.Body, 16<<10)
	pieces := 0
	for {
		line, err := lines.ReadString('\n')
		switch {
		case strings.HasPrefix(line, "data: [DONE]"), strings.HasPrefix(line, `data: {"type":"message_stop"`):
			j.end(acked, http.StatusOK, "")
		case strings.Contains(line, `"finish_reason":"length"`): // which the upstream never says
			j.mu.Lock()
			j.cut = true
			j.mu.Unlock()
		case strings.HasPrefix(line, "event: error"):
			data, _ := lines.ReadString('\n')
			j.end(refused, http.StatusOK, line+data)
		case strings.HasPrefix(line, `data: {"error"`):
			j.end(refused, http.StatusOK, line)
		case strings.HasPrefix(line, "data: ") && strings.Contains(line, "piece "):
			if pieces++; pieces == 1 {
				close(j.started)
			}
			if pieces == j.leaves {
				j.end(left, 0, "")
				cancel()
				return
			}
		}
		if err == io.EOF {
			// A clean end of the connection is no end of the answer.
			j.end(broken, http.StatusOK, "ended without its final bytes")
			j.told(resp.Trailer.Get("X-Charge-Usd"))
			return
		}
		if err != nil {
			j.lost(ctx, err)
			return
		}
	}
}
