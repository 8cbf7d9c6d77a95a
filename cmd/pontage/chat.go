package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pontage/pontage/client"
)

// Bounds of a conversation.
const (
	maxPrompt = 1 << 20 // bytes
	maxTurns  = 200     // messages that are sent along
)

// talk is one run of the command chat.
type talk struct {
	*remote
	api       *client.Client
	model     string
	system    string
	maxTokens int64
	simulate  string
	test      bool
	usage     bool
	turns     []client.Message
}

// said is one answer, for scripts.
type said struct {
	Model        string        `json:"model"`
	Content      string        `json:"content"`
	FinishReason string        `json:"finish_reason"`
	Usage        *client.Usage `json:"usage"`
	ChargeUSD    string        `json:"charge_usd,omitempty"`
	RequestID    string        `json:"request_id"`
}

func newChatCommand(sys *system) *cobra.Command {
	t := &talk{}
	c := &cobra.Command{
		Use: "chat [PROMPT…]", Short: "Talk to a model",
		Long:    "Talk to a model. With a prompt, or with one on standard input, there is one answer;\notherwise it is a conversation, which ends at the end of the input.\n\nThe key is $PONTAGE_API_KEY, and with --test or --simulate $PONTAGE_TEST_KEY.",
		Example: "  pontage chat why is the sky blue\n  pontage chat --model claude-sonnet-4-5 < question.txt\n  pontage chat --simulate 'stream_interrupted;after=2' hello",
		RunE:    func(c *cobra.Command, args []string) error { return t.run(c.Context(), strings.Join(args, " ")) },
	}
	t.remote = newCaller(sys, c)
	f := c.Flags()
	f.StringVar(&t.model, "model", "", "`model` to talk to (default: a small one)")
	f.StringVar(&t.system, "system", "", "system `prompt`")
	f.Int64Var(&t.maxTokens, "max-tokens", 0, "most tokens of an answer")
	f.BoolVar(&t.test, "test", false, "use the test key: a simulated answer, paid from the test balance")
	f.StringVar(&t.simulate, "simulate", "", "ask for this `fault`, such as rate_limited or \"stream_interrupted;after=3\"; needs a test key")
	f.BoolVar(&t.usage, "usage", false, "print tokens, charge and request id after each answer")
	return c
}

func (t *talk) run(ctx context.Context, prompt string) error {
	if err := t.connect(ctx); err != nil {
		return err
	}
	if t.system != "" {
		t.turns = append(t.turns, client.Message{Role: "system", Content: t.system})
	}
	if prompt == "" && !t.sys.terminal {
		raw, err := io.ReadAll(io.LimitReader(t.sys.in, maxPrompt+1))
		if err != nil {
			return err
		}
		if prompt = strings.TrimSpace(string(raw)); prompt == "" {
			return usagef("there is no prompt: give one as arguments or on standard input")
		}
	}
	if len(prompt) > maxPrompt {
		return usagef("the prompt is longer than %d bytes", maxPrompt)
	}
	if prompt != "" {
		return t.ask(ctx, prompt)
	}
	if t.json {
		return usagef("--json needs a prompt")
	}
	return t.converse(ctx)
}

// connect finds the key and the model.
func (t *talk) connect(ctx context.Context) error {
	s, err := t.settings()
	if err != nil {
		return err
	}
	key, name := s.apiKey, "PONTAGE_API_KEY"
	if t.test || t.simulate != "" {
		key, name = s.testKey, "PONTAGE_TEST_KEY"
	}
	if key == "" {
		return usagef("no API key: set %s", name)
	}
	if t.api, err = t.caller(s.baseURL, key); err != nil || t.model != "" {
		return err
	}
	models, err := t.api.Models(ctx)
	if err != nil {
		return err
	}
	t.model, err = pickModel(models)
	return err
}

// converse asks whatever a person types, until the end of the input.
func (t *talk) converse(ctx context.Context) error {
	fmt.Fprintf(t.sys.err, "Talking to %s. End with Ctrl-D.\n", printable(t.model))
	lines := typed(ctx, t.sys.in)
	for {
		fmt.Fprint(t.sys.err, "> ")
		select {
		case <-ctx.Done():
			fmt.Fprintln(t.sys.err)
			return nil
		case line, ok := <-lines:
			if !ok {
				fmt.Fprintln(t.sys.err)
				return nil
			}
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			if err := t.ask(ctx, line); err != nil && ctx.Err() == nil {
				fmt.Fprintln(t.sys.err, "pontage: "+printable(err.Error()))
			}
		}
	}
}

// typed sends the lines of r until its end or that of ctx. A read cannot be
// broken off, so at the end of ctx one may stay behind until the process ends.
func typed(ctx context.Context, r io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(r)
		s.Buffer(nil, maxPrompt)
		for s.Scan() {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

// ask asks one thing and prints the answer as it comes. A turn that failed is
// not part of the conversation.
func (t *talk) ask(ctx context.Context, prompt string) error {
	turns := append(t.turns[:len(t.turns):len(t.turns)], client.Message{Role: "user", Content: prompt})
	s, err := t.api.Stream(ctx, client.Request{Model: t.model, Messages: turns, MaxTokens: t.maxTokens, Simulate: t.simulate})
	if err != nil {
		return err
	}
	defer s.Close()
	a := said{Model: t.model, RequestID: s.RequestID()}
	var text strings.Builder
	for s.Next() {
		e := s.Event()
		text.WriteString(e.Text())
		if !t.json {
			fmt.Fprint(t.sys.out, printable(e.Text()))
		}
		a.Model = first(e.Model, a.Model)
		for _, choice := range e.Choices {
			a.FinishReason = first(choice.FinishReason, a.FinishReason)
		}
		if e.Usage != nil {
			a.Usage = e.Usage
		}
	}
	a.Content, a.ChargeUSD = text.String(), s.ChargeUSD()
	if !t.json && text.Len() > 0 && !strings.HasSuffix(a.Content, "\n") {
		fmt.Fprintln(t.sys.out)
	}
	if err := s.Err(); err != nil {
		return err
	}
	t.remember(turns, a.Content)
	if t.json {
		return t.printJSON(a)
	}
	if t.usage {
		t.footer(&a)
	}
	return nil
}

// remember keeps the latest turns, and the system prompt.
func (t *talk) remember(turns []client.Message, answer string) {
	t.turns = append(turns, client.Message{Role: "assistant", Content: answer})
	if over := len(t.turns) - maxTurns; over > 0 {
		keep := 0
		if t.system != "" {
			keep = 1
		}
		t.turns = append(t.turns[:keep:keep], t.turns[keep+over:]...)
	}
}

func (t *talk) footer(a *said) {
	parts := []string{a.Model}
	if a.Usage != nil {
		parts = append(parts, fmt.Sprintf("%d tokens in, %d out", a.Usage.PromptTokens, a.Usage.CompletionTokens))
	}
	for _, p := range []string{dollars(a.ChargeUSD), a.RequestID} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	fmt.Fprintln(t.sys.err, "["+printable(strings.Join(parts, " · "))+"]")
}
