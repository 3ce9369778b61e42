// A forward proxy over TLS by Go's net/http: HTTP/2 and HTTP/1.1 by ALPN, tunnels by CONNECT and plain http as it is asked. It prints a line for
// each connection ("open ADDRESS", "closed ADDRESS") and for each request ("METHOD HOST PROTOCOL ADDRESS").
package main

import (
	"context"
	"encoding/base64"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	listen     = flag.String("listen", "127.0.0.1:0", "address")
	cert       = flag.String("cert", "", "certificate file")
	key        = flag.String("key", "", "key file")
	auth       = flag.String("auth", "", "user:password that is asked for")
	refuse     = flag.Int("refuse", 0, "answer every request with this status")
	http1      = flag.Bool("http1", false, "no HTTP/2 by ALPN")
	maxStreams = flag.Int("max-streams", 0, "SETTINGS_MAX_CONCURRENT_STREAMS")
	goawayAt   = flag.Int64("goaway-at", 0, "GOAWAY with the answer to every n-th request of a connection")
)

var dialer = net.Dialer{Timeout: 10 * time.Second}

// A connection's count of requests, in its context.
type countKey struct{}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	// RFC 6761 6.3: names below localhost are this machine, whatever its resolver says.
	if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return dialer.DialContext(ctx, network, address)
}

type flushing struct {
	to      io.Writer
	flusher *http.ResponseController
}

func (f flushing) Write(data []byte) (int, error) {
	n, err := f.to.Write(data)
	if err == nil {
		err = f.flusher.Flush()
	}
	return n, err
}

// Bytes both ways. Each end of a direction is told to the other side; one that is no proper end takes the tunnel down.
func relay(client io.Reader, toClient func() error, upstream *net.TCPConn) error {
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		defer group.Done()
		if _, err := io.Copy(upstream, client); err != nil {
			_ = upstream.SetLinger(0)
			_ = upstream.Close()
			return
		}
		_ = upstream.CloseWrite()
	}()
	err := toClient()
	if err != nil {
		_ = upstream.Close()
	}
	return err
}

func tunnel(w http.ResponseWriter, r *http.Request) {
	connection, err := dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer connection.Close()
	upstream := connection.(*net.TCPConn)
	if r.ProtoMajor == 2 {
		flusher := http.NewResponseController(w)
		w.WriteHeader(http.StatusOK)
		if flusher.Flush() != nil {
			return
		}
		err := relay(r.Body, func() error {
			_, err := io.Copy(flushing{w, flusher}, upstream)
			return err
		}, upstream)
		if err != nil {
			panic(http.ErrAbortHandler) // RST_STREAM
		}
		return
	}
	client, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer log.Println("closed", r.RemoteAddr)
	defer client.Close()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	_ = relay(buffered, func() error {
		_, err := io.Copy(client, upstream)
		return err
	}, upstream)
}

func main() {
	flag.Parse()
	log.SetOutput(os.Stdout)
	log.SetFlags(0)
	credentials := "Basic " + base64.StdEncoding.EncodeToString([]byte(*auth))
	forward := &httputil.ReverseProxy{
		Director:  func(*http.Request) {}, // the URL is whole already
		Transport: &http.Transport{DialContext: dial, DisableCompression: true},
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		log.Println(r.Method, r.Host, r.Proto, r.RemoteAddr)
		if n := r.Context().Value(countKey{}).(*atomic.Int64).Add(1); *goawayAt > 0 && n%*goawayAt == 0 {
			w.Header().Set("Connection", "close") // net/http: GOAWAY over HTTP/2
		}
		if *auth != "" && r.Header.Get("Proxy-Authorization") != credentials {
			w.Header().Set("Proxy-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		r.Header.Del("Proxy-Authorization")
		if *refuse != 0 {
			w.WriteHeader(*refuse)
			return
		}
		if r.Method == http.MethodConnect {
			tunnel(w, r)
			return
		}
		// Over HTTP/2 net/http does not keep :scheme, which is http here: https goes through tunnels.
		r.URL.Scheme, r.URL.Host = "http", r.Host
		forward.ServeHTTP(w, r)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(!*http1)
	server := &http.Server{
		Addr: *listen, Handler: http.HandlerFunc(handler), ErrorLog: log.New(io.Discard, "", 0), Protocols: protocols,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: *maxStreams},
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, countKey{}, new(atomic.Int64))
		},
		ConnState: func(connection net.Conn, state http.ConnState) {
			if state == http.StateNew {
				log.Println("open", connection.RemoteAddr())
			} else if state == http.StateClosed {
				log.Println("closed", connection.RemoteAddr())
			}
		},
	}
	log.Fatal(server.ListenAndServeTLS(*cert, *key))
}
