package config

import (
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// Redacted returns the whole configuration in effect, defaults and all, as maps,
// lists, texts, numbers and booleans under the names of the file, ready for
// JSON or YAML. Secrets are replaced by "[redacted]"; what was not said and has
// no default is left out.
func (c *Config) Redacted() map[string]any {
	out, _ := plain(reflect.ValueOf(*c), "").(map[string]any)
	return out
}

// plain makes v plain data. nil means that there is nothing to show.
func plain(v reflect.Value, tag reflect.StructTag) any {
	switch x := v.Interface().(type) {
	case Secret:
		if x == "" || x == "none" {
			return string(x)
		}
		return redacted
	case time.Duration:
		return duration(x)
	case Timeout:
		if x == 0 {
			return nil
		}
		return x.String()
	case Size:
		return x.String()
	case Percent:
		return x.String()
	case Factor:
		return x.String()
	case money.Amount:
		return x.String()
	case money.Rate:
		return money.Amount(x).String()
	case SitePlans:
		if x.Names != nil {
			return plain(reflect.ValueOf(x.Names), "")
		}
		return plain(reflect.ValueOf(x.Own), "")
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem(), tag)
	case reflect.Struct:
		return plainStruct(v)
	case reflect.Map:
		if v.IsNil() {
			return nil
		}
		out := make(map[string]any, v.Len())
		for it := v.MapRange(); it.Next(); {
			out[it.Key().String()] = plain(it.Value(), "")
		}
		return out
	case reflect.Slice:
		return plainSlice(v, tag)
	case reflect.String:
		if tag.Get("secret") == "url" {
			return withoutPassword(v.String())
		}
	}
	return v.Interface()
}

func plainStruct(v reflect.Value) any {
	out := make(map[string]any, v.NumField())
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := fieldName(f)
		// What may be left out and was: there is nothing to show.
		if name == "" || (v.Field(i).IsZero() && f.Tag.Get("default") == "" && v.Field(i).Kind() != reflect.Struct) {
			continue
		}
		if x := plain(v.Field(i), f.Tag); x != nil {
			if m, ok := x.(map[string]any); ok && len(m) == 0 && v.Field(i).Kind() == reflect.Struct {
				continue
			}
			out[name] = x
		}
	}
	return out
}

func plainSlice(v reflect.Value, tag reflect.StructTag) any {
	if v.IsNil() {
		return nil
	}
	list := make([]any, v.Len())
	for i := range list {
		list[i] = plain(v.Index(i), "")
		if m, ok := list[i].(map[string]any); ok && tag.Get("key") != "" {
			m[tag.Get("key")] = v.Index(i).FieldByName("Name").String() // a list, since its order matters
		}
	}
	return list
}

// withoutPassword returns a URL with its password replaced.
func withoutPassword(s string) string {
	scheme, _, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		return scheme + "://" + redacted
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), "redacted")
	}
	if u.RawQuery != "" {
		u.RawQuery = "redacted"
	}
	return u.String()
}
