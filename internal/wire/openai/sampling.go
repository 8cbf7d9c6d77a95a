package openai

import "github.com/pontage/pontage/internal/jsonx"

// sampling checks the members that OpenAI has not, but servers of open models
// and routers have, and reports whether name is one. The bounds are those that
// such servers have in common; where they differ, it is for the provider to judge.
func (c *checker) sampling(name []byte, v jsonx.Value) bool {
	switch string(name) {
	case "top_k": // -1 and 0 switch it off
		c.p.Integer(v, -1, maxTokens)
	case "min_p", "top_a", "tfs", "typical_p":
		c.p.Number(v, 0, 1)
	case "repetition_penalty":
		c.p.Above(v, 0, 2)
	case "eta_cutoff", "epsilon_cutoff", "mirostat_tau", "mirostat_eta":
		c.p.AtLeast(v, 0)
	case "mirostat_mode":
		c.p.Integer(v, 0, 2)
	case "min_tokens", "no_repeat_ngram_size":
		c.p.Integer(v, 0, maxTokens)
	case "include_stop_str_in_output", "ignore_eos":
		c.p.Bool(v)
	case "stop_token_ids":
		c.numbers(v)
	case "custom_token_bans":
		if v.Kind() != jsonx.String { // some servers take a list with commas
			c.numbers(v)
		}
	case "prompt_logprobs": // how many, or whether at all
		if _, ok := v.Bool(); !ok {
			c.p.Integer(v, -1, maxTokens)
		}
	default:
		return false
	}
	return true
}

// numbers checks that v is an array of token ids.
func (c *checker) numbers(v jsonx.Value) {
	if !c.p.Array(v, 0, maxTokenIDs) {
		return
	}
	for _, id := range v.Items() {
		if c.p.Full() {
			return
		}
		if id.Kind() != jsonx.Number { // null is none
			c.p.Type(id, "a whole number")
			continue
		}
		c.p.Integer(id, 0, maxTokens)
	}
}
