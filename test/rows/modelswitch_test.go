package rows

import "testing"

// modelswitchModels are the models that rows of modelswitch break.
func modelswitchModels(testing.TB) []model { return nil }

// modelswitchRows are the rows of modelswitch.
var modelswitchRows = map[string]func(*proof){}
