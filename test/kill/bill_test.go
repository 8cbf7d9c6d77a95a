package kill

import (
	"fmt"
	"strings"
)

// bill is what the upstream asks for all answers that it finished, at the prices
// of the models, and what became of that. Every part is in nano-dollars.
type bill struct {
	upstream int64 // what it finished, whether or not the gateway was still there

	journal  int64 // charged
	absorbed int64 // was not there to be charged
	blocked  int64 // a refusal is free
	empty    int64 // so is nothing
	cut      int64 // the process died before it was recorded
	left     int64 // the caller had gone before there was anything to pay for
	unsaved  int64 // it could not be recorded, or not in time, and the caller was told so
	guessed  int64 // charged to callers who left, or whose money was used up, less what the upstream asks: it is reckoned from what had come
}

// balance makes sure that the parts explain the whole.
func (b *bill) balance(f *findings) {
	if b.upstream != b.journal-b.guessed+b.absorbed+b.blocked+b.empty+b.cut+b.left+b.unsaved {
		f.add(wrong, "the upstream's bill is not explained: %v", b)
	}
}

func (b *bill) String() string {
	return fmt.Sprintf("upstream=$%s = journal $%s - guessed $%s + absorbed $%s + blocked $%s + empty $%s + cut off $%s + left $%s + not recorded $%s",
		usd(b.upstream), usd(b.journal), usd(b.guessed), usd(b.absorbed), usd(b.blocked), usd(b.empty), usd(b.cut), usd(b.left), usd(b.unsaved))
}

// add explains what the upstream did for one job.
func (b *bill) add(j *job, saw fate, c *charge, f *findings) {
	reported, cost := j.finished()
	cost *= reported
	b.upstream += cost
	switch {
	case reported > 1 && j.ending != empty:
		f.add(wrong, "%v: the upstream was asked for the answer %d times, and finished it each time", j, reported)
	case c != nil && (saw == left || j.endedHere(saw, c)):
		b.journal += c.line.amount
		b.absorbed += c.absorbed
		b.guessed += c.line.amount + c.absorbed - cost
	case c != nil && reported == 0:
		f.add(wrong, "%v: it is charged %s, and the upstream finished no answer", j, usd(c.line.amount))
	case c != nil:
		b.journal += c.line.amount
		b.absorbed += c.absorbed
	case reported == 0:
	case j.ending == blocks:
		b.blocked += cost
	case j.ending == empty:
		b.empty += cost
	case saw == broken:
		b.cut += cost
	case saw == left:
		b.left += cost
	case saw == refused && j.unrecorded():
		b.unsaved += cost
	case saw == refused:
		f.add(lost, "%v: the upstream finished its answer, which was refused and not charged", j)
	}
}

// endedHere reports that the gateway may have ended the job's answer for want of
// money, while the upstream was at it or had just finished.
func (j *job) endedHere(saw fate, c *charge) bool {
	return j.grows() && (j.wasCut() || saw == broken && c.line.amount+c.absorbed != j.price())
}

// unrecorded reports that the job was refused because its charge could not be
// recorded, or because the process was going.
func (j *job) unrecorded() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.said, "Charges cannot be recorded at the moment.") || strings.Contains(j.said, "The gateway is restarting.")
}
