package rows

import "testing"

// samuraiModels are the models that rows of samurai break.
func samuraiModels(testing.TB) []model { return nil }

// samuraiRows are the rows of samurai.
var samuraiRows = map[string]func(*proof){}
