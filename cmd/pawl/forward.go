package main

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/rs/zerolog"
)

// webhookPath is where GitHub delivers.
const webhookPath = "/webhooks/github"

// Bounds of what is brought to another replica: GitHub's own limit, and less
// than the ten seconds in which it wants an answer.
const (
	forwardBytes   = 25 << 20
	forwardTimeout = 5 * time.Second
)

// forwarded marks a delivery that was brought once, so that two replicas of
// which each believes the other to work do not send it to and fro.
const forwarded = "Pawl-Forwarded"

// forwarding brings deliveries to the replica that works, as they are: that one
// looks at the signature. Where none is known nothing is lost, as the
// branch is polled.
func forwarding(leader func() (address string, ok bool), log zerolog.Logger) http.Handler {
	client := &http.Client{
		Timeout:       forwardTimeout,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}, // and no proxy
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address, ok := leader()
		switch {
		case r.Method != http.MethodPost:
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "deliveries are posted", http.StatusMethodNotAllowed)
		case !ok || r.Header.Get(forwarded) != "":
			w.WriteHeader(http.StatusAccepted)
		default:
			status, err := forward(r.Context(), client, address, w, r)
			if err != nil {
				log.Warn().Err(err).Msg("a webhook did not reach the replica that works, which polls anyway")
				status = http.StatusAccepted
			}
			w.WriteHeader(status)
		}
	})
}

// forward returns what the other replica answered.
func forward(ctx context.Context, client *http.Client, address string, w http.ResponseWriter, r *http.Request) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+webhookPath, http.MaxBytesReader(w, r.Body, forwardBytes))
	if err != nil {
		return 0, err
	}
	request.Header = r.Header.Clone()
	request.Header.Del("Connection")
	request.Header.Set(forwarded, "1")
	request.ContentLength = r.ContentLength
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 4<<10))
	return response.StatusCode, nil
}
