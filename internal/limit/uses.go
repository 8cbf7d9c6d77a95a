package limit

import "time"

// Use is what a key has used of one limit.
type Use struct {
	Limit   int64         // requests, or tokens
	Used    int64         // of the same; of Concurrency: in flight; tokens may be more than Limit
	Per     time.Duration // 0 for Concurrency
	Next    time.Duration // until less is used, and less than Limit; 0 if nothing is, and for Concurrency
	Restore time.Duration // until nothing is used any more; 0 if nothing is, and for Concurrency
	Source  Source
	GCRA    bool // of RPS and Burst; Limit is the burst
	Rule    int  // the rule's place in the list
}

// Uses reports what key has used of each limit in rules, and takes nothing.
func (l *Limiter) Uses(key int64, rules ...Rule) []Use {
	sh := l.of(key)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	st := sh.keys[key]
	if st == nil {
		st = new(state)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	now := l.elapsed()
	var out []Use
	for i, r := range rules[:min(len(rules), MaxRules)] {
		if r.RPS > 0 {
			out = append(out, st.slots[i].requests(l, now, r, i))
		}
		if r.Requests > 0 {
			out = append(out, st.log(i).use(now, r, i))
		}
		if r.TokensPerMinute > 0 {
			out = append(out, st.tokens.minute(l, now, r, i))
		}
		if r.Concurrency > 0 {
			out = append(out, Use{Limit: r.Concurrency, Used: st.inflight.Load(), Source: Concurrency, Rule: i})
		}
	}
	return out
}

func (s *slot) requests(l *Limiter, now int64, r Rule, place int) Use {
	every, burst := r.every(), r.burst()
	s.respace(l, every, burst*every, bySpacing)
	ahead := max(0, s.tat.Load()-now)
	used := (ahead + every - 1) / every
	u := Use{Limit: burst, Used: used, Per: time.Duration(burst * every), Restore: time.Duration(ahead), Source: Throughput, GCRA: true, Rule: place}
	if used > 0 {
		u.Next = time.Duration(ahead - (used-1)*every)
	}
	return u
}

// next is how much will be used at Next.
func (u *Use) next() int { return int(min(u.Used, u.Limit)) - 1 }

func (w *log) use(now int64, r Rule, place int) Use {
	w.drop(now - int64(r.Per))
	u := Use{Limit: r.Requests, Used: int64(w.n), Per: r.Per, Source: Throughput, Rule: place}
	if w.n > 0 {
		u.Next = time.Duration(w.at(w.n-1-u.next()) + int64(r.Per) - now)
		u.Restore = time.Duration(w.at(w.n-1) + int64(r.Per) - now)
	}
	return u
}

func (s *slot) minute(l *Limiter, now int64, r Rule, place int) Use {
	tpm := r.tokens()
	s.respace(l, tpm, minute, byRate)
	ahead := max(0, s.tat.Load()-now)
	used := tokensIn(ahead, tpm)
	u := Use{Limit: tpm, Used: used, Per: time.Minute, Restore: time.Duration(ahead), Source: Tokens, Rule: place}
	if used > 0 {
		u.Next = time.Duration(max(1, ahead-span(int64(u.next()), tpm, false)))
	}
	return u
}
