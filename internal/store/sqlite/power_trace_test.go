//go:build linux

package sqlite

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// What a process did to its files, as strace saw it, and what of that a disk may
// hold when the power goes: everything that was written before a sync that has
// returned, and any part of the rest.

// traced is one system call, when it began or when it returned.
type traced struct {
	name     string
	path     string // of the file
	data     []byte // of a write
	off      int64  // of a write; of a truncation, the size
	id       int    // the same for the beginning and the return
	begins   bool
	returned int64 // what it returned
	creates  bool
}

// readTrace reads what strace -f -y -xx wrote.
func readTrace(r io.Reader) ([]traced, error) {
	var calls []traced
	open := map[string]traced{} // by thread
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		thread, text, _ := strings.Cut(lines.Text(), " ")
		text = strings.TrimLeft(text, " ")
		if strings.HasPrefix(text, "+++") || strings.HasPrefix(text, "---") {
			continue
		}
		if rest, resumed := strings.CutPrefix(text, "<... "); resumed {
			c, known := open[thread]
			if !known {
				return nil, fmt.Errorf("line %d: resumes nothing", n)
			}
			delete(open, thread)
			c.returned, c.begins = returns(rest), false
			calls = append(calls, c)
			continue
		}
		c, err := beginning(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w: %.200s", n, err, text)
		}
		c.id, c.begins = n, true
		calls = append(calls, c)
		if strings.HasSuffix(text, "<unfinished ...>") {
			open[thread] = c
			continue
		}
		c.returned, c.begins = returns(text), false
		calls = append(calls, c)
	}
	return calls, lines.Err()
}

// returns is the result at the end of a line; -1 if there is none.
func returns(line string) int64 {
	i := strings.LastIndex(line, " = ")
	if i < 0 {
		return -1
	}
	digits, _, _ := strings.Cut(line[i+len(" = "):], " ")
	digits, _, _ = strings.Cut(digits, "<")
	n, err := strconv.ParseInt(digits, 0, 64)
	if err != nil {
		return -1
	}
	return n
}

// beginning reads the arguments of a call.
func beginning(text string) (c traced, err error) {
	name, rest, ok := strings.Cut(text, "(")
	if !ok {
		return c, errors.New("no call")
	}
	c.name = name
	fd, after, _ := strings.Cut(rest, "<")
	path, args, _ := strings.Cut(after, ">")
	c.path = unhex(path)
	switch name {
	case "write", "pwrite64":
		if fd == "1" {
			c.path = "stdout"
		}
		parts := strings.Split(strings.TrimPrefix(args, ", "), ", ")
		if strings.HasSuffix(parts[0], "...") {
			return c, errors.New("the data are cut off")
		}
		c.data = []byte(unhex(strings.Trim(parts[0], `"`)))
		if name == "pwrite64" {
			digits := strings.FieldsFunc(parts[2], func(r rune) bool { return r < '0' || r > '9' })
			c.off, err = strconv.ParseInt(digits[0], 10, 64)
		}
	case "ftruncate":
		digits := strings.FieldsFunc(args, func(r rune) bool { return r < '0' || r > '9' })
		c.off, err = strconv.ParseInt(digits[0], 10, 64)
	case "openat", "open":
		_, quoted, _ := strings.Cut(rest, `"`)
		quoted, flags, _ := strings.Cut(quoted, `"`)
		c.path, c.creates = unhex(quoted), strings.Contains(flags, "O_CREAT")
	}
	return c, err
}

func unhex(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(s, `\x`, ""))
	if err != nil {
		return s
	}
	return string(b)
}

// platter is what a disk holds of some files, for certain and perhaps.
type platter struct {
	dir   string
	files map[string]*onDisk
}

type onDisk struct {
	durable []byte
	linked  bool // its name is
	pending []*change
	syncs   map[int]map[*change]bool // that are under way: what each makes durable
}

// change is a write, or a truncation, that is not durable yet.
type change struct {
	call traced
	done bool
}

func newPlatter(dir string) (*platter, error) {
	p := &platter{dir: dir, files: map[string]*onDisk{}}
	b, err := os.ReadFile(filepath.Join(dir, "pontage.db"))
	if err != nil {
		return nil, err
	}
	p.files[filepath.Join(dir, "pontage.db")] = &onDisk{durable: b, linked: true}
	return p, nil
}

// kept says which files count: not the lock, and not the index of the log, which
// is in memory and made anew.
func (p *platter) kept(path string) bool {
	return strings.HasPrefix(path, p.dir+"/") && !strings.HasSuffix(path, "-shm") && !strings.HasSuffix(path, ".lock")
}

// see takes in the next moment.
func (p *platter) see(c traced) error {
	if (c.name == "fsync" || c.name == "fdatasync") && c.path == p.dir {
		for _, f := range p.files {
			f.linked = f.linked || (!c.begins && c.returned == 0)
		}
		return nil
	}
	if !p.kept(c.path) {
		return nil
	}
	f := p.files[c.path]
	if f == nil {
		if !c.creates {
			return fmt.Errorf("%s of %s, which nobody made", c.name, c.path)
		}
		f = new(onDisk)
		p.files[c.path] = f
	}
	switch c.name {
	case "pwrite64", "ftruncate":
		f.change(c)
	case "fsync", "fdatasync":
		f.sync(c)
	case "openat", "open":
	default:
		return fmt.Errorf("%s of %s is not reckoned with", c.name, c.path)
	}
	return nil
}

func (f *onDisk) change(c traced) {
	if c.begins {
		f.pending = append(f.pending, &change{call: c})
		return
	}
	for _, x := range f.pending {
		if x.call.id == c.id {
			x.done = true
		}
	}
}

// sync makes durable, when it returns, what was complete when it began.
func (f *onDisk) sync(c traced) {
	if c.begins {
		covered := map[*change]bool{}
		for _, x := range f.pending {
			covered[x] = x.done
		}
		if f.syncs == nil {
			f.syncs = map[int]map[*change]bool{}
		}
		f.syncs[c.id] = covered
		return
	}
	var rest []*change
	for _, x := range f.pending {
		if f.syncs[c.id][x] && c.returned == 0 {
			f.durable = x.call.apply(f.durable, 0, len(x.call.data))
			continue
		}
		rest = append(rest, x)
	}
	delete(f.syncs, c.id)
	f.pending = rest
}

// apply writes the bytes from one to the other of a write, or truncates.
func (c traced) apply(b []byte, from, to int) []byte {
	end := int(c.off) + to
	if c.name == "ftruncate" {
		end = int(c.off)
		b = b[:min(len(b), end)]
	}
	if len(b) < end {
		b = append(b, make([]byte, end-len(b))...)
	}
	if c.name == "pwrite64" {
		copy(b[int(c.off)+from:], c.data[from:to])
	}
	return b
}

// sector is what a disk writes whole.
const sector = 512

// cut returns what the files may hold if the power goes now. Of what is not
// durable the fraction luck is there, in sectors: 0 is nothing, 1 everything.
func (p *platter) cut(rnd *rand.Rand, luck float64) map[string][]byte {
	files := map[string][]byte{}
	for path, f := range p.files {
		if !f.linked && rnd.Float64() >= luck {
			continue
		}
		b := slices.Clone(f.durable)
		for _, x := range f.pending {
			if x.call.name == "ftruncate" {
				if rnd.Float64() < luck {
					b = x.call.apply(b, 0, 0)
				}
				continue
			}
			whole := rnd.Float64() < luck
			for from := 0; from < len(x.call.data); {
				to := min(len(x.call.data), from+sector-(int(x.call.off)+from)%sector)
				if there := rnd.Float64() < luck; luck == 1 || (there && (whole || rnd.IntN(4) == 0)) {
					b = x.call.apply(b, from, to)
				}
				from = to
			}
		}
		files[path] = b
	}
	return files
}
