package rows

import "testing"

// llmtuneModels are the models that rows of llmtune break.
func llmtuneModels(testing.TB) []model { return nil }

// llmtuneRows are the rows of llmtune.
var llmtuneRows = map[string]func(*proof){}
