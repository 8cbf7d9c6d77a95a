package config

import (
	"errors"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// setScalar reads text into v. Money is read from the text as it was written,
// never by way of a float.
func setScalar(v reflect.Value, text string) error {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		d, err := parseDuration(text)
		*p = d
		return err
	case *Timeout:
		if text == "off" {
			*p = -1
			return nil
		}
		d, err := parseDuration(text)
		if err == nil && d == 0 {
			err = errors.New("must be above 0, or off")
		}
		*p = Timeout(d)
		return err
	case *Size:
		s, err := ParseSize(text)
		*p = s
		return err
	case *Percent:
		r, err := money.ParsePercent(text)
		*p = Percent(r)
		if err != nil {
			return errors.New("must be from 0% to 100%, with at most four decimals, like 5%")
		}
		return nil
	case *Factor:
		r, err := money.ParseRate(text) // a number with nine decimals
		*p = Factor(r / 1000)
		if err != nil || r%1000 != 0 {
			return errors.New("must be a number with at most six decimals, not negative, like 1.7")
		}
		return nil
	case *money.Amount:
		a, err := money.ParseUSD(text)
		if err != nil {
			return errors.New("must be a decimal number of dollars with at most nine decimals")
		}
		*p = a
		return nil
	case *money.Rate:
		r, err := money.ParseRate(text)
		if err != nil {
			return errors.New("must be a decimal number of dollars per million tokens, not negative, with at most nine decimals")
		}
		*p = r
		return nil
	}
	return setPlain(v, text)
}

func setPlain(v reflect.Value, text string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		switch text {
		case "true", "false":
			v.SetBool(text == "true")
		default:
			return errors.New("must be true or false")
		}
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return errors.New("must be a whole number")
		}
		v.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return errors.New("must be a number")
		}
		v.SetFloat(f)
	}
	return nil
}

// wanted names what v takes, for messages.
func wanted(v reflect.Value) string {
	switch v.Interface().(type) {
	case time.Duration, Timeout:
		return "a duration"
	case Size:
		return "a size"
	case Percent:
		return "a share"
	case Factor:
		return "a number"
	case money.Amount:
		return "an amount of dollars"
	case money.Rate:
		return "a price"
	}
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	}
	return "a text"
}
