package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// printJSON prints v for scripts.
func (r *remote) printJSON(v any) error {
	e := json.NewEncoder(r.sys.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// show prints v as JSON if that is wanted, and else calls people.
func (r *remote) show(v any, people func() error) error {
	if r.json {
		return r.printJSON(v)
	}
	return people()
}

// printList prints the whole of a list, as JSON if that is wanted.
func printList[T any](r *remote, all []T, head []string, row func(T) []string) error {
	if r.json {
		if all == nil {
			all = []T{}
		}
		return r.printJSON(map[string][]T{"data": all})
	}
	rows := make([][]string, len(all))
	for i, v := range all {
		rows[i] = row(v)
	}
	return r.table(head, rows)
}

// table prints rows in columns. Columns in which every row is empty are left
// out.
func (r *remote) table(head []string, rows [][]string) error {
	if len(rows) == 0 {
		fmt.Fprintln(r.sys.err, "none")
		return nil
	}
	w := tabwriter.NewWriter(r.sys.out, 0, 4, 2, ' ', 0)
	line := func(row []string) {
		var cells []string
		for i, cell := range row {
			if filled(rows, i) {
				cells = append(cells, strings.NewReplacer("\t", " ", "\n", " ").Replace(printable(cell)))
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	line(head)
	for _, row := range rows {
		line(row)
	}
	return w.Flush()
}

func filled(rows [][]string, column int) bool {
	for _, row := range rows {
		if row[column] != "" {
			return true
		}
	}
	return false
}

// facts prints names and values, one on a line, without the empty ones.
func (r *remote) facts(pairs ...string) error {
	w := tabwriter.NewWriter(r.sys.out, 0, 4, 2, ' ', 0)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", pairs[i], printable(pairs[i+1]))
		}
	}
	return w.Flush()
}

// collect reads a whole list, at most most items; 0: all.
func collect[T any](list func(func(T, error) bool), most int) ([]T, error) {
	var all []T
	for v, err := range list {
		if err != nil {
			return nil, err
		}
		if all = append(all, v); most > 0 && len(all) == most {
			break
		}
	}
	return all, nil
}

func yes(b bool, word string) string {
	if b {
		return word
	}
	return ""
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func whenever(t *time.Time) string {
	if t == nil {
		return ""
	}
	return when(*t)
}

func count(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func millis(ms float64) string {
	if ms == 0 {
		return ""
	}
	return (time.Duration(ms*1000) * time.Microsecond).Round(100 * time.Microsecond).String()
}

// dollars marks an amount; an empty one stays empty.
func dollars(amount string) string {
	if amount == "" {
		return ""
	}
	if rest, negative := strings.CutPrefix(amount, "-"); negative {
		return "-$" + rest
	}
	return "$" + amount
}

// some is dollars, without nothing.
func some(amount string) string {
	if amount == "0.00" {
		return ""
	}
	return dollars(amount)
}

// parseTime reads a time, a day, or a duration that is added to from with the
// sign sign.
func (s *system) parseTime(flag, text string, sign time.Duration) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	days := strings.TrimSuffix(text, "d")
	if d, err := time.ParseDuration(days + map[bool]string{true: "h"}[days != text]); err == nil && d >= 0 {
		if days != text {
			d *= 24
		}
		return s.now().Add(sign * d), nil
	}
	return time.Time{}, usagef("--%s %q: want a time such as 2026-11-20T12:00:00Z, a day such as 2026-11-20, or a duration such as 24h or 7d", flag, text)
}
