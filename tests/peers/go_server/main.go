// Go's net/http as a peer: HTTP/2 and HTTP/1.1 over TLS, X25519MLKEM768 included. Answers with JSON of what it received
// and of the TLS connection; bodies in pieces: /digest, /pattern/N, /early/N, /duplex, /form; /events/N; /bytes/N, /status/N, /redirect/N, /slow/MS, /chunked/N, /drop (closes in mid-body).
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
	"time"
)

type seen struct {
	Method     string              `json:"method"`
	URL        string              `json:"url"`
	Proto      string              `json:"version"`
	Host       string              `json:"host"`
	Headers    map[string][]string `json:"headers"`
	BodyLength int                 `json:"body_length"`
	TLSVersion string              `json:"tls_version"`
	Suite      string              `json:"suite"`
	Group      string              `json:"group"`
	Resumed    bool                `json:"resumed"`
	Peer       string              `json:"peer"`
}

func number(r *http.Request) int {
	parts := strings.Split(r.URL.Path, "/")
	n, _ := strconv.Atoi(parts[len(parts)-1])
	return n
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	answer := seen{
		Method: r.Method, URL: r.URL.String(), Proto: r.Proto, Host: r.Host, Headers: r.Header,
		BodyLength: len(body), Peer: r.RemoteAddr,
	}
	if r.TLS != nil {
		answer.TLSVersion = tls.VersionName(r.TLS.Version)
		answer.Suite = tls.CipherSuiteName(r.TLS.CipherSuite)
		answer.Group = r.TLS.CurveID.String()
		answer.Resumed = r.TLS.DidResume
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	cert := flag.String("cert", "", "certificate file")
	key := flag.String("key", "", "key file")
	flag.Parse()
	mux := http.NewServeMux()
	mux.HandleFunc("/", echo)
	mux.HandleFunc("/bytes/", func(w http.ResponseWriter, r *http.Request) {
		n := number(r)
		w.Header().Set("Content-Length", strconv.Itoa(n))
		_, _ = w.Write(make([]byte, n))
	})
	mux.HandleFunc("/chunked/", func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < number(r); i++ {
			fmt.Fprintf(w, "chunk %d\n", i)
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/status/", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(number(r)) })
	mux.HandleFunc("/redirect/", func(w http.ResponseWriter, r *http.Request) {
		n := number(r)
		to := "/"
		if n > 1 {
			to = fmt.Sprintf("/redirect/%d", n-1)
		}
		http.Redirect(w, r, to, http.StatusFound)
	})
	mux.HandleFunc("/slow/", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(time.Duration(number(r)) * time.Millisecond):
		case <-r.Context().Done():
		}
		fmt.Fprint(w, "late")
	})
	mux.HandleFunc("/drop", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(make([]byte, 100))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	// The body is read as it comes: length, SHA-256, how it was framed.
	mux.HandleFunc("/digest", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		if err != nil {
			w.WriteHeader(400)
		}
		_ = json.NewEncoder(w).Encode(map[string]interface{}{
			"length": n, "sha256": fmt.Sprintf("%x", sum.Sum(nil)), "declared": r.ContentLength,
			"encoding": r.TransferEncoding, "type": r.Header.Get("Content-Type"), "expect": r.Header.Get("Expect"),
		})
	})
	// /pattern/N: N bytes of which each 8 are their number, so that loss, doubling and disorder show. ?slow=MS between blocks.
	mux.HandleFunc("/pattern/", func(w http.ResponseWriter, r *http.Request) {
		n := number(r)
		slow, _ := strconv.Atoi(r.URL.Query().Get("slow"))
		w.Header().Set("Content-Length", strconv.Itoa(n))
		w.Header().Set("Trailer", "X-Sum")
		block := make([]byte, 65536)
		for at := 0; at < n; {
			for i := 0; i < len(block); i += 8 {
				binary.BigEndian.PutUint64(block[i:], uint64(at+i))
			}
			size := len(block)
			if n-at < size {
				size = n - at
			}
			if _, err := w.Write(block[:size]); err != nil {
				return
			}
			at += size
			if slow > 0 {
				w.(http.Flusher).Flush()
				time.Sleep(time.Duration(slow) * time.Millisecond)
			}
		}
	})
	// Answers before the body was read, and does not read it.
	mux.HandleFunc("/early/", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(number(r)) })
	mux.HandleFunc("/redirect307", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		http.Redirect(w, r, "/digest", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/redirect302", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		http.Redirect(w, r, "/chunked/3", http.StatusFound)
	})
	// Gives back what comes, while it comes.
	mux.HandleFunc("/duplex", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.(http.Flusher).Flush()
		buffer := make([]byte, 4096)
		for {
			n, err := r.Body.Read(buffer)
			if n > 0 {
				_, _ = w.Write(buffer[:n])
				w.(http.Flusher).Flush()
			}
			if err != nil {
				return
			}
		}
	})
	// /events/N: N events with the ids 0 to N-1, from the one behind Last-Event-ID; 204 when there are no more. ?slow=MS between flushes.
	mux.HandleFunc("/events/", func(w http.ResponseWriter, r *http.Request) {
		next := 0
		slow, _ := strconv.Atoi(r.URL.Query().Get("slow"))
		if last := r.Header.Get("Last-Event-ID"); last != "" {
			n, _ := strconv.Atoi(last)
			next = n + 1
		}
		if next >= number(r) {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "retry: 20\n")
		for ; next < number(r); next++ {
			fmt.Fprintf(w, "id: %d\ndata: %d\ndata: %s\n\n", next, next, strings.Repeat("x", next*37%2000))
			if next%3 == 0 {
				w.(http.Flusher).Flush()
				time.Sleep(time.Duration(slow) * time.Millisecond)
			}
		}
	})
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprint(w, "body")
		w.Header().Set("X-Sum", "42")
	})
	// A form's parts: name, file name, type, length.
	mux.HandleFunc("/form", func(w http.ResponseWriter, r *http.Request) {
		reader, err := r.MultipartReader()
		parts := []map[string]interface{}{}
		for err == nil {
			part, perr := reader.NextPart()
			if perr != nil {
				break
			}
			n, _ := io.Copy(io.Discard, part)
			parts = append(parts, map[string]interface{}{"name": part.FormName(), "file": part.FileName(), "length": n})
		}
		_ = json.NewEncoder(w).Encode(map[string]interface{}{
			"parts": parts, "declared": r.ContentLength, "type": r.Header.Get("Content-Type"),
		})
	})
	server := &http.Server{Addr: *listen, Handler: mux, ErrorLog: log.New(io.Discard, "", 0)}
	log.Fatal(server.ListenAndServeTLS(*cert, *key))
}
