package catalog

import (
	"bytes"
	"encoding/json"

	"github.com/pontage/pontage/internal/llm"
)

// Class is a class of models, for plans.
type Class struct {
	Name   string
	Models []string          // globs; see [Match]
	When   map[string]string // members of a request that put it in this class whatever its model: quality=hd
}

// Plan is what an account may use. A class that is not in it is not allowed.
type Plan struct {
	Name    string
	Classes map[string]Quota
}

// Quota is what a plan gives of one class.
type Quota struct {
	PerDay  int64 // requests a UTC day; negative: without limit; 0: the class is not in the plan
	Metered bool  // paid from credits as well
}

// Catalog holds the models of every site. It does not change.
type Catalog struct {
	base  *View
	sites map[string]*View
}

// View returns what the named site offers. A site without an overlay, or one
// that is not known, offers what stands at the top of the configuration.
func (c *Catalog) View(site string) *View {
	if v := c.sites[site]; v != nil {
		return v
	}
	return c.base
}

// View is the models and plans of one site. It does not change.
type View struct {
	models    map[string]*Model
	list      []*Model
	fallbacks map[string][]string
	plans     map[string]*Plan
	standard  *Plan // of accounts without a plan that is sold here; nil: none
	classes   []Class
}

// Model returns the model that callers name so. It may be switched off or
// without a price: see [Model.Check].
func (v *View) Model(name string) (*Model, bool) {
	m, ok := v.models[name]
	return m, ok
}

// Models lists the models that can be used, by name. The slice is shared and
// must not be changed.
func (v *View) Models() []*Model { return v.list }

// Fallbacks returns the models to try after the named one, in order, without
// those that this site does not offer.
func (v *View) Fallbacks(name string) []string { return v.fallbacks[name] }

// Plan returns the plan with the given name.
func (v *View) Plan(name string) (*Plan, bool) {
	p, ok := v.plans[name]
	return p, ok
}

// PlanOf returns the plan in force for an account: its own, or where that is
// not sold here, and where it has none, the site's default. Nil: there is no
// plan, and everything is paid from the balance.
func (v *View) PlanOf(account string) *Plan {
	if p := v.plans[account]; p != nil && account != "" {
		return p
	}
	return v.standard
}

// ClassOf returns the class of a request to m: the first class whose members
// the request has, or else the model's own.
func (v *View) ClassOf(m *Model, r *llm.Request) string {
	for i := range v.classes {
		if c := &v.classes[i]; len(c.When) > 0 && c.holds(r) {
			return c.Name
		}
	}
	return m.Class
}

// holds reports whether the request has every member of When with that value.
func (c *Class) holds(r *llm.Request) bool {
	for name, want := range c.When {
		v := bytes.TrimSpace(r.Raw.Value(name))
		if len(v) == 0 {
			return false
		}
		got := string(v)
		if v[0] == '"' && json.Unmarshal(v, &got) != nil {
			return false
		}
		if got != want {
			return false
		}
	}
	return true
}

// Classes lists the classes in the order in which a model is looked up in them.
func (v *View) Classes() []Class { return v.classes }
