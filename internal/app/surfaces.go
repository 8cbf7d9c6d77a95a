package app

import (
	"net/http"
	"net/http/pprof"
	"slices"

	"github.com/pontage/pontage/internal/wire"
	"github.com/pontage/pontage/internal/wire/anthropic"
	"github.com/pontage/pontage/internal/wire/gemini"
	"github.com/pontage/pontage/internal/wire/media"
	"github.com/pontage/pontage/internal/wire/openai"
	"github.com/pontage/pontage/internal/wire/prompt"
	"github.com/pontage/pontage/internal/wire/responses"
	"github.com/pontage/pontage/internal/wire/simple"
)

// dialects are the formats of the surfaces that ask something of a model.
func dialects() map[string]wire.Dialect {
	return map[string]wire.Dialect{
		"openai.chat":             openai.NewChat(openai.Options{}),
		"openai.completions":      openai.NewCompletions(openai.Options{}),
		"openai.responses":        responses.New(responses.Options{}),
		surfaceCount:              responses.NewCount(),
		surfaceCompact:            responses.NewCompact(),
		"openai.embeddings":       openai.NewEmbeddings(openai.Options{}),
		"anthropic.messages":      anthropic.NewMessages(),
		"anthropic.count_tokens":  anthropic.NewCountTokens(),
		"openai.moderations":      media.Moderations(),
		"openai.images":           media.Images(),
		"openai.image_edits":      media.ImageEdits(),
		"openai.image_variations": media.ImageVariations(),
		"openai.speech":           media.Speech(),
		"openai.transcriptions":   media.Transcriptions(),
		"openai.translations":     media.Translations(),
		"gemini.generate":         gemini.NewGenerate(),
		"gemini.count_tokens":     gemini.NewCountTokens(),
		"gemini.embed":            gemini.NewEmbed(),
		"chat":                    simple.New(simple.Options{}),
		"prompt":                  prompt.New(prompt.Options{}),
	}
}

// listers are the formats of lists of models.
func listers() map[string]wire.ModelLister {
	return map[string]wire.ModelLister{
		"openai.models":    openai.Models{},
		"anthropic.models": anthropic.Models{},
		"gemini.models":    gemini.Models{},
	}
}

// built reports whether a surface is one that this build answers.
func built(surface string) bool {
	return dialects()[surface] != nil || listers()[surface] != nil || slices.Contains(ownSurfaces, surface) ||
		slices.Contains(keptSurfaces, surface) ||
		surface == surfaceJobs || surface == surfaceMemory
}

// profiles serves the process's profiles, for who measures it.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}
