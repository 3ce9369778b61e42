// Go's net/http as a peer: HTTP/2 and HTTP/1.1 over TLS, X25519MLKEM768 included. Answers with JSON of what it received
// and of the TLS connection; /bytes/N, /status/N, /redirect/N, /slow/MS, /chunked/N, /drop (closes in mid-body).
package main

import (
	"crypto/tls"
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
	server := &http.Server{Addr: *listen, Handler: mux, ErrorLog: log.New(io.Discard, "", 0)}
	log.Fatal(server.ListenAndServeTLS(*cert, *key))
}
