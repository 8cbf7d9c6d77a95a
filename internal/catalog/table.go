package catalog

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// maxRows bounds a table.
const maxRows = 20_000

// Table is a dated list of facts about public models. It does not change.
type Table struct {
	Date   string // YYYY-MM-DD
	Source string

	rows []row
	byID map[string][]int // rows of one id, in order
}

// row is one model at one provider.
type row struct {
	provider, id, kind string
	context, maxOutput int64
	inputs             []Modality

	tools, reasoning, jsonSchema, temperature bool

	price   *PriceEntry // nil: unknown
	open    bool        // weights are public
	created int64
}

// columns are those of a table, in order; catalogs/README.md explains them.
var columns = []string{
	"provider", "id", "kind", "context", "max_output", "input", "can", "usd_input", "usd_output",
	"usd_cached_input", "usd_cache_write", "usd_cache_write_1h", "weights", "released",
	"usd_image", "usd_characters", "usd_minute", "usd_image_input", "usd_audio_input",
	"usd_reasoning", "usd_audio_output", "usd_image_output", "usd_web_search", "usd_file_search", "usd_code_execution",
	"usd_long", "tiers",
}

// ends are how many columns a row may have: it may leave out those at the end, from
// those of units on, of images and sound in the prompt, of what is in the answer, or of
// long prompts and tiers of service.
var ends = []int{14, 17, 19, firstLong, len(columns)}

// firstLong is the first of the columns of long prompts and tiers of service.
const firstLong = 25

// ParseTable reads a table: comma-separated values with a header of columns.
// Lines that begin with # are comments, and two of them, "# date: " and
// "# source: ", are needed. Its errors name the line.
func ParseTable(src string) (*Table, error) {
	t := &Table{byID: make(map[string][]int)}
	for line := range strings.Lines(src) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		if v, ok := strings.CutPrefix(line, "# date: "); ok {
			t.Date = strings.TrimSpace(v)
		} else if v, ok := strings.CutPrefix(line, "# source: "); ok {
			t.Source = strings.TrimSpace(v)
		}
	}
	if _, err := time.Parse(time.DateOnly, t.Date); err != nil || t.Source == "" {
		return nil, errors.New("catalogue: the date (YYYY-MM-DD) and the source are missing in the header")
	}
	r := csv.NewReader(strings.NewReader(src))
	r.Comment = '#'
	r.ReuseRecord = true
	r.FieldsPerRecord = -1
	head, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	if !slices.Equal(head, columns) {
		return nil, fmt.Errorf("catalogue: columns are %s, want %s", strings.Join(head, ","), strings.Join(columns, ","))
	}
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, fmt.Errorf("catalogue: %w", err)
		}
		line, _ := r.FieldPos(0)
		if n := len(rec); !slices.Contains(ends, n) {
			return nil, fmt.Errorf("catalogue: line %d: has %d columns, want one of %d", line, n, ends)
		}
		x, err := parseRow(rec)
		if err == nil {
			err = t.add(x)
		}
		if err != nil {
			return nil, fmt.Errorf("catalogue: line %d: %w", line, err)
		}
	}
}

func (t *Table) add(x row) error {
	if len(t.rows) == maxRows {
		return fmt.Errorf("more than %d rows", maxRows)
	}
	for _, i := range t.byID[x.id] {
		if t.rows[i].provider == x.provider {
			return fmt.Errorf("%s of %s is there twice", x.id, x.provider)
		}
	}
	t.byID[x.id] = append(t.byID[x.id], len(t.rows))
	t.rows = append(t.rows, x)
	return nil
}

// find returns the row of id at provider, or nil.
func (t *Table) find(provider, id string) *row {
	for _, i := range t.byID[id] {
		if t.rows[i].provider == provider {
			return &t.rows[i]
		}
	}
	return nil
}

func parseRow(rec []string) (row, error) {
	x := row{provider: rec[0], id: rec[1], kind: rec[2]}
	if x.provider == "" || x.id == "" {
		return x, errors.New("provider and id must not be empty")
	}
	if !slices.Contains(Kinds(), x.kind) {
		return x, fmt.Errorf("kind %q is none of %s", x.kind, strings.Join(Kinds(), ", "))
	}
	var err error
	if x.context, err = count(rec[3]); err != nil {
		return x, fmt.Errorf("context: %w", err)
	}
	if x.maxOutput, err = count(rec[4]); err != nil {
		return x, fmt.Errorf("max_output: %w", err)
	}
	for in := range strings.SplitSeq(rec[5], "+") {
		if !slices.Contains(Modalities(), Modality(in)) {
			return x, fmt.Errorf("input %q is not known", in)
		}
		x.inputs = append(x.inputs, Modality(in))
	}
	if err := x.abilities(rec[6]); err != nil {
		return x, err
	}
	if err := x.prices(rec[7:12], rec[ends[0]:]); err != nil {
		return x, err
	}
	switch rec[12] {
	case "open":
		x.open = true
	case "closed":
	default:
		return x, fmt.Errorf("weights %q are neither open nor closed", rec[12])
	}
	if rec[13] != "" {
		d, err := time.Parse(time.DateOnly, rec[13])
		if err != nil {
			return x, fmt.Errorf("released: %w", err)
		}
		x.created = d.Unix()
	}
	return x, nil
}

func (x *row) abilities(list string) error {
	if list == "" {
		return nil
	}
	for a := range strings.SplitSeq(list, "+") {
		switch a {
		case "tools":
			x.tools = true
		case "reasoning":
			x.reasoning = true
		case "json_schema":
			x.jsonSchema = true
		case "temperature":
			x.temperature = true
		default:
			return fmt.Errorf("can: %q is not known", a)
		}
	}
	return nil
}

// free is the price of input of what costs nothing. Only moderation may: OpenAI's
// does.
const free = "free"

func (x *row) prices(cells, units []string) error {
	if cells[0] == free {
		if x.kind != Moderation {
			return fmt.Errorf("%s: only moderation is free", columns[7])
		}
		x.price = &PriceEntry{Free: true}
		return nil
	}
	var rates [5]*money.Rate
	known := false
	for i, c := range cells {
		if c == "" {
			continue
		}
		r, err := money.ParseRate(c)
		if err != nil {
			return fmt.Errorf("%s: %w", columns[7+i], err)
		}
		if r == 0 {
			return fmt.Errorf("%s: is zero, which is not a list price", columns[7+i])
		}
		rates[i], known = &r, true
	}
	e := PriceEntry{Input: rates[0], Output: rates[1], CachedInput: rates[2], CacheWrite: rates[3], CacheWrite1h: rates[4]}
	if n := firstLong - ends[0]; len(units) > n {
		if err := e.readLong(units[n], units[n+1]); err != nil {
			return err
		}
	}
	if len(units) > 0 {
		more, err := e.readUnits(units)
		if err != nil {
			return err
		}
		known = known || more
	}
	if !known {
		return nil
	}
	x.price = &e
	var err error
	x.price.price(x.kind, func(field, reason string) {
		err = errors.Join(err, fmt.Errorf("price %s: %s", field, reason))
	})
	return err
}

// readUnits reads what is charged for in other units than tokens, and the classes of
// tokens with rates of their own, and reports whether there is any.
func (e *PriceEntry) readUnits(cells []string) (known bool, err error) {
	amount := func(i int) *money.Amount {
		if i >= len(cells) || cells[i] == "" || err != nil {
			return nil
		}
		var a money.Amount
		if a, err = money.ParseUSD(cells[i]); err != nil {
			err = fmt.Errorf("%s: %w", columns[ends[0]+i], err)
		}
		return &a
	}
	e.Image, e.Minute = amount(0), amount(2)
	rate := func(i int) *money.Rate {
		if i >= len(cells) || cells[i] == "" || err != nil {
			return nil
		}
		var r money.Rate
		if r, err = money.ParseRate(cells[i]); err != nil {
			err = fmt.Errorf("%s: %w", columns[ends[0]+i], err)
		}
		return &r
	}
	e.Characters, e.ImageInput, e.AudioInput = rate(1), rate(3), rate(4)
	e.Reasoning, e.AudioOutput, e.ImageOutput = rate(5), rate(6), rate(7)
	e.WebSearch, e.FileSearch, e.CodeExecution = amount(8), amount(9), amount(10)
	return slices.ContainsFunc(cells, func(c string) bool { return c != "" }), err
}

// count reads a whole number of tokens; empty: 0.
func count(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is not a number above 0", s)
	}
	return n, nil
}
