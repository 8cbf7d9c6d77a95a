// Package catalogs holds the table of models and list prices that comes with
// the binary. README.md explains its columns, its source and its date.
package catalogs

import _ "embed"

//go:embed models.csv
var models string

// Models returns models.csv; internal/catalog reads it.
func Models() string { return models }
