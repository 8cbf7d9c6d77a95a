package fault

import (
	"strconv"
	"strings"
)

// The refusals below have a sentence that tells what was asked for. Whoever refuses
// makes them here, and so does the reference of errors, which shows what callers
// get.

// NoModel is the refusal of a model that there is not, at the member that names
// it.
func NoModel(name, at string) *Error {
	return New(ModelNotFound, "The model %q does not exist.", name).At(at).With("model", name)
}

// ModelNotOfKey is the refusal of a model that a key may not use.
func ModelNotOfKey(name string) *Error {
	return New(ModelNotAllowed, "This key may not use the model %q.", name).At("model").With("model", name)
}

// ModelNotInPlan is the refusal of a model whose class an account's plan has not.
func ModelNotInPlan(name, class, plan string) *Error {
	return New(PlanRequired, "The model %q is of class %s, which is not part of the plan %s.", name, class, plan).
		At("model").With("model", name).With("class", class).With("plan", plan)
}

// NoResponse is the refusal of a stored response that there is not.
func NoResponse(id string) *Error {
	return New(ResponseNotFound, "Response with id '%s' not found.", id)
}

// NoMethod is the refusal of a method at a path that has others, which allow
// lists as the header of that name does.
func NoMethod(allow, method string) *Error {
	return New(MethodNotAllowed, "Use %s here.", allow).With("allow", allow).With("method", method)
}

// KeyOfKind is the refusal of a key of one kind where another is wanted.
func KeyOfKind(wanted, have string) *Error {
	article := "a "
	if strings.HasPrefix(have, "i") {
		article = "an "
	}
	return New(KeyWrongKind, "This endpoint takes %s keys, and this is %s key.", wanted, article+have).With("kind", wanted)
}

// TooLarge is the refusal of a body of more than so many bytes.
func TooLarge(limit int64) *Error {
	return New(BodyTooLarge, "The request body is larger than %d bytes.", limit).With("limit", strconv.FormatInt(limit, 10))
}

// NotMedia is the refusal of a body of another content type.
func NotMedia(wanted string) *Error {
	return New(UnsupportedMediaType, "Content-Type must be %s.", wanted).At("Content-Type")
}
