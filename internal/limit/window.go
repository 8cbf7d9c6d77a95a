package limit

// window is the log of the admissions of one key, oldest first, in a ring that
// grows as it is needed. The zero window is empty.
type window struct {
	ring []int64
	head int // index of the oldest
	n    int
}

// drop forgets what is not younger than since.
func (w *window) drop(since int64) {
	for w.n > 0 && w.ring[w.head] <= since {
		w.head = (w.head + 1) % len(w.ring)
		w.n--
	}
	if w.n == 0 && len(w.ring) > minRing {
		w.ring, w.head = nil, 0
	}
}

// at returns the i-th oldest admission.
func (w *window) at(i int) int64 { return w.ring[(w.head+i)%len(w.ring)] }

// add logs an admission.
func (w *window) add(t int64) {
	if w.n == len(w.ring) {
		ring := make([]int64, max(minRing, 2*len(w.ring)))
		for i := range w.n {
			ring[i] = w.at(i)
		}
		w.ring, w.head = ring, 0
	}
	w.ring[(w.head+w.n)%len(w.ring)] = t
	w.n++
}

// wait returns how long from now until fewer than limit admissions are younger
// than per; 0: now.
func (w *window) wait(now, limit, per int64) int64 {
	w.drop(now - per)
	if int64(w.n) < limit {
		return 0
	}
	return w.at(w.n-int(limit)) + per - now
}

// minRing is the size of the smallest ring.
const minRing = 16
