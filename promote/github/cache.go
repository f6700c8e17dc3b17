package github

import (
	"bytes"
	"container/list"
	"io"
	"net/http"
	"sync"
)

// cache keeps answers that GitHub marks with an ETag. Every use asks GitHub
// whether it is still so, which costs no quota if it is: nothing stale is ever
// decided on. Libraries for it serve what is younger than a minute unasked, as
// GitHub's Cache-Control allows, and keep all they ever saw.
type cache struct {
	mu      sync.Mutex
	entries map[string]*list.Element
	order   *list.List // the least recently used at the back
	size    int
}

type answer struct {
	key    string
	etag   string
	header http.Header
	body   []byte
}

const (
	// cacheBytes bounds what the answers take, and cacheEach is what each of them
	// takes beside its body: most bodies are small.
	cacheBytes = 8 << 20
	cacheEach  = 1 << 10
	// cacheBody is the longest body that is worth keeping.
	cacheBody = 2 << 20
)

func (a *answer) size() int { return cacheEach + len(a.key) + len(a.body) }

func newCache() *cache { return &cache{entries: map[string]*list.Element{}, order: list.New()} }

func (c *cache) etag(key string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		return e.Value.(*answer).etag
	}
	return ""
}

// through returns the answer, from memory if it is unchanged.
func (c *cache) through(key string, resp *http.Response) (*http.Response, error) {
	switch {
	case resp.StatusCode == http.StatusNotModified:
		c.mu.Lock()
		e := c.entries[key]
		if e == nil { // pushed out meanwhile: an answer without content, which the caller reads as a failure
			c.mu.Unlock()
			return resp, nil
		}
		c.order.MoveToFront(e)
		kept := e.Value.(*answer)
		c.mu.Unlock()
		_ = resp.Body.Close()
		resp.StatusCode, resp.Status = http.StatusOK, "200 OK"
		for name, values := range kept.header {
			if resp.Header.Get(name) == "" {
				resp.Header[name] = values
			}
		}
		resp.Body = io.NopCloser(bytes.NewReader(kept.body))
		resp.ContentLength = int64(len(kept.body))
		return resp, nil

	case resp.StatusCode == http.StatusOK && resp.Header.Get("ETag") != "":
		body, err := io.ReadAll(io.LimitReader(resp.Body, cacheBody+1))
		if err != nil {
			_ = resp.Body.Close()
			return nil, err
		}
		if len(body) > cacheBody {
			resp.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(bytes.NewReader(body), resp.Body), resp.Body}
			return resp, nil
		}
		_ = resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(body))
		header := http.Header{}
		for _, name := range []string{"Content-Type", "Link"} {
			if v := resp.Header.Values(name); len(v) > 0 {
				header[http.CanonicalHeaderKey(name)] = v
			}
		}
		c.keep(&answer{key: key, etag: resp.Header.Get("ETag"), header: header, body: body})
	}
	return resp, nil
}

func (c *cache) keep(a *answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.entries[a.key]; old != nil {
		c.drop(old)
	}
	c.entries[a.key] = c.order.PushFront(a)
	c.size += a.size()
	for c.size > cacheBytes {
		c.drop(c.order.Back())
	}
}

func (c *cache) drop(e *list.Element) {
	a := c.order.Remove(e).(*answer)
	delete(c.entries, a.key)
	c.size -= a.size()
}
