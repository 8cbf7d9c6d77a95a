// Package sim is the built-in simulator: an [http.RoundTripper] that answers as
// an OpenAI-shaped and an Anthropic-shaped provider would, without a socket. It
// stands where the transport of a provider's client stands, so the client, its
// SSE reader and its classification of errors are the real ones.
//
// Without instructions it gives a short answer that depends on nothing but the
// request: the same words, tool calls, token counts and vectors every time.
// With [Step]s it answers as told: any status and body, scripted content and
// usage, a fault before or in the middle of a stream, or a recording byte for
// byte. docs/simulator.md describes the steps for those who write them.
//
// Streamed bodies are made as they are read. An open stream costs a few
// kilobytes and no goroutine, and ends when its request's context ends or its
// body is closed.
package sim
