package rows

import "testing"

// nanogptModels are the models that rows of nanogpt break.
func nanogptModels(testing.TB) []model { return nil }

// nanogptRows are the rows of nanogpt.
var nanogptRows = map[string]func(*proof){}
