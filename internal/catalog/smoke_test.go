package catalog

import (
	"testing"

	"github.com/pontage/pontage/catalogs"
)

func TestTheEmbeddedTableIsSound(t *testing.T) {
	t.Parallel()
	tab, err := ParseTable(catalogs.Models())
	if err != nil {
		t.Fatal(err)
	}
	c, err := Build(Input{Table: tab, Dev: true, Sim: "sim", Providers: []Provider{{Name: "sim"}}})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.View("").Models()); n < 200 {
		t.Errorf("dev offers %d models, want all of the table", n)
	}
}
