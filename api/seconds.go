package api

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"
)

// Seconds is a span of time. In JSON it is a number of seconds, as all of them are.
type Seconds time.Duration

// String is that of time.Duration.
func (s Seconds) String() string { return time.Duration(s).String() }

// MarshalJSON is for package json.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(s).Seconds(), 'f', -1, 64), nil
}

// UnmarshalJSON is for package json. A number is rounded to nanoseconds.
func (s *Seconds) UnmarshalJSON(text []byte) error {
	var seconds float64
	if err := json.Unmarshal(text, &seconds); err != nil {
		return err
	}
	const most = float64(1<<63-1) / float64(time.Second)
	if seconds <= -most || seconds >= most {
		return errors.New("so many seconds are more than 292 years")
	}
	*s = Seconds(math.Round(seconds * float64(time.Second)))
	return nil
}
