package chaos

import (
	"encoding/json"
	"io"
	"math/big"
	"net/http"
)

// answerCost is the price of what answer gives, in nano-dollars: ten tokens at
// one dollar, and two at two dollars per million.
var answerCost = big.NewInt(10*1000 + 2*2000)

const (
	chunkHead = `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m",`
	goodWhole = `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12}}`
	goodRole  = chunkHead + `"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n"
	goodText  = chunkHead + `"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}` + "\n\n"
	goodEnd   = chunkHead + `"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" +
		chunkHead + `"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12}}` + "\n\ndata: [DONE]\n\n"
)

// requested reads the model and the mode of a request.
func requested(body []byte) (model string, stream bool) {
	var in struct {
		Model  string
		Stream bool
	}
	_ = json.Unmarshal(body, &in)
	return in.Model, in.Stream
}

// answer answers well, in OpenAI's protocol.
func answer(w http.ResponseWriter, stream bool) {
	if !stream {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, goodWhole)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, goodRole+goodText+goodEnd)
}
