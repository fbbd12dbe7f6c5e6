package limits

import (
	"errors"
	"strings"
	"time"
)

// MaxTimespan is the longest time that is taken for one: some 10 years.
const MaxTimespan = 10 * 365 * 24 * time.Hour

var errTimespan = errors.New(`not a time above 0 and up to 10 years, such as "90", "30min" or "1h 30min"`)

// units are what a time may be counted in.
//
// Source: systemd.time(7), "Parsing Time Spans"; a month is 30.44 and a year
// 365.25 days.
var units = map[string]time.Duration{
	"usec": time.Microsecond, "us": time.Microsecond, "µs": time.Microsecond, "μs": time.Microsecond,
	"msec": time.Millisecond, "ms": time.Millisecond,
	"seconds": time.Second, "second": time.Second, "sec": time.Second, "s": time.Second, "": time.Second,
	"minutes": time.Minute, "minute": time.Minute, "min": time.Minute, "m": time.Minute,
	"hours": time.Hour, "hour": time.Hour, "hr": time.Hour, "h": time.Hour,
	"days": day, "day": day, "d": day,
	"weeks": 7 * day, "week": 7 * day, "w": 7 * day,
	"months": 2_629_800 * time.Second, "month": 2_629_800 * time.Second, "M": 2_629_800 * time.Second,
	"years": 31_557_600 * time.Second, "year": 31_557_600 * time.Second, "y": 31_557_600 * time.Second,
}

const day = 24 * time.Hour

// ParseTimespan reads a time as systemd.time(7) writes it: numbers, each with a
// unit or else in seconds, added up; decimals are allowed. "infinity" is 0, for
// no limit; every other 0 is refused.
func ParseTimespan(text string) (time.Duration, error) {
	const space = " \t"
	rest := strings.Trim(text, space)
	if rest == "infinity" {
		return 0, nil
	}
	var total time.Duration
	for rest != "" {
		digits := prefix(rest, "0123456789")
		rest = rest[len(digits):]
		decimals := ""
		if after, ok := strings.CutPrefix(rest, "."); ok {
			decimals = prefix(after, "0123456789")
			rest = after[len(decimals):]
			if decimals == "" || len(decimals) > 6 {
				return 0, errTimespan
			}
		}
		rest = strings.TrimLeft(rest, space)
		word := rest
		if i := strings.IndexAny(rest, "0123456789. \t"); i >= 0 {
			word = rest[:i]
		}
		rest = strings.TrimLeft(rest[len(word):], space)
		unit, ok := units[word]
		count, err := number(digits)
		if !ok || err != nil || count > uint64(MaxTimespan/unit) {
			return 0, errTimespan
		}
		total += time.Duration(count) * unit
		for _, digit := range decimals {
			unit /= 10
			total += time.Duration(digit-'0') * unit
		}
		if total > MaxTimespan {
			return 0, errTimespan
		}
	}
	if total < time.Microsecond {
		return 0, errTimespan
	}
	return total, nil
}

// prefix returns what s begins with that is made of the characters in set.
func prefix(s, set string) string { return s[:len(s)-len(strings.TrimLeft(s, set))] }
