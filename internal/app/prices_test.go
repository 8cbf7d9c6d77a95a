package app

import (
	"reflect"
	"testing"

	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/config"
)

// What an operator says of a price arrives in the catalogue under the same name, in
// the price itself and in its steps, and nothing else does.
func TestEveryPriceArrives(t *testing.T) {
	t.Parallel()
	priced := func(p config.Price) catalog.PriceEntry {
		return *entries(map[string]config.Model{"m": {Price: &p}})["m"].Price
	}
	stepped := func(s config.LongPrice) catalog.LongEntry {
		return priced(config.Price{Long: []config.LongPrice{s}}).Long[0]
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[config.Price]()) {
		if f.Name == "Long" {
			continue // see below
		}
		var p config.Price
		give(reflect.ValueOf(&p).Elem().FieldByIndex(f.Index))
		arrives(t, f.Name, reflect.ValueOf(priced(p)))
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[config.LongPrice]()) {
		var s config.LongPrice
		give(reflect.ValueOf(&s).Elem().FieldByIndex(f.Index))
		got := stepped(s)
		if f.Name == "Above" {
			if got.Above != 7 {
				t.Errorf("above is %d", got.Above)
			}
			continue
		}
		arrives(t, f.Name, reflect.ValueOf(got.Rates))
	}
}

// give sets a field to 7, or to true.
func give(v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if v.Kind() == reflect.Bool {
		v.SetBool(true)
	} else {
		v.SetInt(7)
	}
}

// arrives fails unless the field of that name is given, and no other.
func arrives(t *testing.T, name string, e reflect.Value) {
	t.Helper()
	if name == "CodeExec" {
		name = "CodeExecution"
	}
	for i := range e.NumField() {
		is, v := e.Type().Field(i).Name, e.Field(i)
		switch {
		case is != name && !v.IsZero():
			t.Errorf("%s arrives as %s", name, is)
		case is == name && (v.IsZero() || v.Kind() == reflect.Pointer && v.Elem().Int() != 7):
			t.Errorf("%s does not arrive", name)
		}
	}
}
