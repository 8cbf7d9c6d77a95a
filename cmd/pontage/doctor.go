package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pontage/pontage/client"
	"github.com/pontage/pontage/client/admin"
	"github.com/pontage/pontage/internal/app"
)

// maxSkew is how far two clocks may be apart: daily limits reset at midnight of
// the server's.
const maxSkew = 5 * time.Second

// maxChecked bounds the time of one check.
const maxChecked = 60 * time.Second

// finding is what one check found.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"` // ok, failed or skipped
	Detail string `json:"detail"`
}

// doctor examines a gateway from outside.
type doctor struct {
	*remote
	config   string
	model    string
	s        settings
	admin    *admin.Client
	findings []finding
}

// errSkip marks a check that could not be made, and why.
type errSkip struct{ error }

func skipf(format string, args ...any) error { return errSkip{fmt.Errorf(format, args...)} }

func newDoctorCommand(sys *system) *cobra.Command {
	d := &doctor{}
	c := &cobra.Command{
		Use: "doctor", Short: "Find out what is wrong", Args: cobra.NoArgs,
		Long: "Examine a gateway from outside: its configuration, its admin API, its clock, its ledger and its targets, and, with a test key in $PONTAGE_TEST_KEY,\nwhole requests and faults on demand. Nothing is charged to a real balance.\n\nIt exits with 1 if anything is wrong.",
		RunE: func(c *cobra.Command, _ []string) error { return d.run(c.Context()) },
	}
	d.remote = newRemote(sys, c)
	c.Flags().StringVar(&d.config, "config", "", "configuration `file` to check as well")
	c.Flags().StringVar(&d.baseURL, "base-url", "", "`URL` of the API (default $PONTAGE_BASE_URL, else "+client.DefaultBaseURL+")")
	c.Flags().StringVar(&d.model, "model", "", "`model` for the test requests (default: a small one)")
	return c
}

func (d *doctor) run(ctx context.Context) error {
	var err error
	if d.s, err = d.settings(); err != nil {
		return err
	}
	// Without a token the API is asked all the same: that it refuses is a finding.
	if d.admin, err = admin.New(admin.Options{BaseURL: d.s.adminURL, Token: d.s.adminToken, HTTPClient: d.sys.http}); err != nil {
		return usagef("%w", err)
	}
	d.check(ctx, "configuration", d.checkConfig)
	d.check(ctx, "key pepper", d.checkPepper)
	d.check(ctx, "admin API", d.checkAlive)
	d.check(ctx, "ready for traffic", d.checkReady)
	d.check(ctx, "clock", d.checkClock)
	d.check(ctx, "admin token", d.checkToken)
	d.check(ctx, "ledger", d.checkLedger)
	d.check(ctx, "targets", d.checkTargets)
	d.checkCalls(ctx)
	wrong := 0
	for _, f := range d.findings {
		if f.Result == "failed" {
			wrong++
		}
	}
	if d.json {
		if err := d.printJSON(map[string]any{"ok": wrong == 0, "checks": d.findings}); err != nil {
			return err
		}
	} else if wrong == 0 {
		fmt.Fprintln(d.sys.out, "Nothing is wrong.")
	} else {
		fmt.Fprintf(d.sys.out, "%d of %d checks failed.\n", wrong, len(d.findings))
	}
	if wrong > 0 {
		return errFound
	}
	return nil
}

// check makes one check and notes what it found.
func (d *doctor) check(ctx context.Context, name string, f func(context.Context) (string, error)) {
	ctx, cancel := context.WithTimeout(ctx, maxChecked)
	defer cancel()
	detail, err := f(ctx)
	found := finding{name, "ok", detail}
	switch {
	case errors.As(err, new(errSkip)):
		found.Result, found.Detail = "skipped", err.Error()
	case err != nil:
		found.Result, found.Detail = "failed", err.Error()
	}
	d.findings = append(d.findings, found)
	if !d.json {
		fmt.Fprintf(d.sys.out, "%-7s  %s: %s\n", map[string]string{"ok": "ok", "failed": "FAILED", "skipped": "skipped"}[found.Result], name, printable(found.Detail))
	}
}

func (d *doctor) checkConfig(context.Context) (string, error) {
	path := d.config
	if path == "" {
		path = "pontage.yaml"
		if _, err := os.Stat(path); err != nil {
			return "", skipf("no --config and no pontage.yaml here")
		}
	}
	if _, err := loadConfig(path); err != nil {
		return "", err
	}
	return path + " has no errors", nil
}

// checkPepper looks whether the pepper that is there fits the database that the
// configuration names, if that is on this machine.
func (d *doctor) checkPepper(ctx context.Context) (string, error) {
	path := first(d.config, "pontage.yaml")
	conf, err := loadConfig(path)
	if err != nil {
		return "", skipf("no configuration names the database")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	db, err := app.StorePath(conf.Store.URL, filepath.Dir(abs))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(db); err != nil {
		return "", skipf("there is no database %s", db)
	}
	// One in the environment of a running gateway alone is missed at the next start
	// from here.
	if err := checkPepper(ctx, db); err != nil {
		return "", err
	}
	return "is the one that the keys in " + db + " were hashed with", nil
}

func (d *doctor) checkAlive(ctx context.Context) (string, error) {
	p, err := d.admin.Alive(ctx)
	if err != nil {
		return "", err
	}
	if !p.OK {
		return "", errors.New("is not well")
	}
	return "answers at " + first(d.s.adminURL, admin.DefaultBaseURL), nil
}

func (d *doctor) checkReady(ctx context.Context) (string, error) {
	p, err := d.admin.Ready(ctx)
	if err != nil {
		return "", err
	}
	if !p.OK {
		return "", errors.New(strings.Join(append([]string{"not ready"}, p.Reasons...), ": "))
	}
	return strings.Join(append([]string{"yes"}, p.Degraded...), ", but: "), nil
}

func (d *doctor) checkClock(ctx context.Context) (string, error) {
	before := d.sys.now()
	p, err := d.admin.Alive(ctx)
	if err != nil {
		return "", skipf("nothing answers")
	}
	if p.Date.IsZero() {
		return "", skipf("the server does not tell the time")
	}
	// The header has whole seconds, so the server's time is somewhere between.
	after := d.sys.now()
	skew := max(before.Add(-time.Second).Sub(p.Date), p.Date.Sub(after), 0)
	if skew > maxSkew {
		return "", fmt.Errorf("the server's clock and this one are %s apart", skew.Round(time.Second))
	}
	return "agrees with this machine's", nil
}

func (d *doctor) checkToken(ctx context.Context) (string, error) {
	if d.s.adminToken == "" {
		return "", skipf("PONTAGE_ADMIN_TOKEN is not set, so the ledger and the targets cannot be looked at")
	}
	_, err := d.admin.Accounts(ctx, "")
	if err != nil {
		return "", err
	}
	return "is accepted", nil
}

func (d *doctor) checkLedger(ctx context.Context) (string, error) {
	if d.s.adminToken == "" {
		return "", skipf("no admin token")
	}
	v, err := d.admin.Verify(ctx)
	if err != nil {
		return "", err
	}
	if !v.OK || len(v.Differences) > 0 {
		return "", fmt.Errorf("%d differences; see pontage verify", len(v.Differences))
	}
	return fmt.Sprintf("%d entries of %d accounts add up", v.Entries, v.Accounts), nil
}

func (d *doctor) checkTargets(ctx context.Context) (string, error) {
	if d.s.adminToken == "" {
		return "", skipf("no admin token")
	}
	l, err := d.admin.Targets(ctx)
	if err != nil {
		return "", err
	}
	if len(l.Data) == 0 {
		return "", errors.New("there are none, so no request can be answered")
	}
	var sick []error
	for _, t := range l.Data {
		if !t.Healthy {
			sick = append(sick, fmt.Errorf("%s: %s", t.Target, first(string(t.Reason), t.Breaker)))
		}
	}
	if len(sick) > 0 {
		return "", errors.Join(sick...)
	}
	return fmt.Sprintf("all %d are healthy", len(l.Data)), nil
}

// checkCalls sends whole requests with the test key.
func (d *doctor) checkCalls(ctx context.Context) {
	if d.s.testKey == "" {
		d.check(ctx, "test request", func(context.Context) (string, error) {
			return "", skipf("PONTAGE_TEST_KEY is not set")
		})
		return
	}
	api, err := d.caller(d.s.baseURL, d.s.testKey)
	if err != nil {
		d.check(ctx, "test request", func(context.Context) (string, error) { return "", err })
		return
	}
	p := patient{api: api, model: d.model}
	for _, c := range []struct {
		name string
		f    func(context.Context) (string, error)
	}{
		{"models", p.models},
		{"test request", p.whole},
		{"test stream", p.stream},
		{"simulated failure before an answer", p.refused},
		{"simulated failure inside a stream", p.interrupted},
		{"unknown key", func(ctx context.Context) (string, error) { return d.stranger(ctx) }},
	} {
		d.check(ctx, c.name, c.f)
	}
}

// stranger proves that not everybody gets in.
func (d *doctor) stranger(ctx context.Context) (string, error) {
	api, err := d.caller(d.s.baseURL, "sk-nobody-has-this-key")
	if err != nil {
		return "", err
	}
	_, err = api.ChatCompletions(ctx, client.Request{Model: "none", Messages: hello()})
	if !errors.Is(err, client.ErrUnauthorized) {
		return "", fmt.Errorf("want a refusal with %d, got %v", http.StatusUnauthorized, err)
	}
	return "is refused", nil
}

// patient is what the doctor sends test requests to.
type patient struct {
	api   *client.Client
	model string
}

func hello() []client.Message {
	return []client.Message{{Role: "user", Content: "Say hello."}}
}

func (p *patient) request(simulate string) client.Request {
	return client.Request{Model: p.model, Messages: hello(), MaxTokens: 16, Simulate: simulate}
}

func (p *patient) models(ctx context.Context) (string, error) {
	all, err := p.api.Models(ctx)
	if err != nil {
		return "", err
	}
	if p.model == "" {
		if p.model, err = pickModel(all); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d are offered", len(all)), nil
}

func (p *patient) whole(ctx context.Context) (string, error) {
	a, err := p.api.ChatCompletions(ctx, p.request(""))
	if err != nil {
		return "", err
	}
	if a.Text() == "" {
		return "", fmt.Errorf("%s answered with nothing", p.model)
	}
	return fmt.Sprintf("%s answered, for %s of test money", p.model, first(dollars(a.Response.ChargeUSD), "an unknown amount")), nil
}

func (p *patient) stream(ctx context.Context) (string, error) {
	text, err := p.read(ctx, "")
	if err != nil {
		return "", err
	}
	if text == "" {
		return "", fmt.Errorf("%s answered with nothing", p.model)
	}
	return p.model + " answered to the end", nil
}

func (p *patient) refused(ctx context.Context) (string, error) {
	_, err := p.api.ChatCompletions(ctx, p.request("content_policy"))
	var e *client.Error
	switch {
	case !errors.As(err, &e) || e.Status < 400:
		return "", fmt.Errorf("want a refusal for content_policy, got %w", orNothing(err))
	case e.RequestID == "":
		return "", errors.New("the refusal has no X-Request-ID")
	case e.Charge != "" && e.Charge != "0" && e.Charge != "0.00":
		return "", fmt.Errorf("the refusal was charged %s", dollars(e.Charge))
	}
	return fmt.Sprintf("is answered with %d, and costs nothing", e.Status), nil
}

func (p *patient) interrupted(ctx context.Context) (string, error) {
	_, err := p.read(ctx, "stream_interrupted;after=1")
	var e *client.Error
	if !errors.As(err, &e) || !e.Delivered {
		return "", fmt.Errorf("want an answer that breaks off, got %w", orNothing(err))
	}
	if e.Code == "stream_truncated" {
		return "", errors.New("the stream broke off without saying why")
	}
	return "is told inside the stream", nil
}

// orNothing is err, or says that there was none.
func orNothing(err error) error {
	if err == nil {
		return errors.New("a good answer")
	}
	return err
}

func (p *patient) read(ctx context.Context, simulate string) (text string, err error) {
	s, err := p.api.Stream(ctx, p.request(simulate))
	if err != nil {
		return "", err
	}
	defer s.Close()
	for s.Next() {
		text += s.Event().Text()
	}
	return text, s.Err()
}
