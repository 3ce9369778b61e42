// Go's crypto/tls without HTTP: groups with ML-KEM, 3DES, tickets, client certificates. Each connection is read once and
// answered with -bytes bytes. One line of text about it goes to standard output.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

func numbers(text string) []uint16 {
	var out []uint16
	for _, part := range strings.Split(text, ",") {
		if part == "" {
			continue
		}
		n, err := strconv.ParseUint(part, 0, 16)
		if err != nil {
			log.Fatal(err)
		}
		out = append(out, uint16(n))
	}
	return out
}

func serve(conn net.Conn, config *tls.Config, bytes int, http bool) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	server := tls.Server(conn, config)
	request := make([]byte, 65536)
	n, err := server.Read(request)
	state := server.ConnectionState()
	if err != nil {
		fmt.Printf("error: %v\n", err)
		return
	}
	fmt.Printf("request %d, %s, %s, %s, resumed %v, retry %v, client certificates %d, alpn %q\n", n,
		tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), state.CurveID, state.DidResume,
		state.HelloRetryRequest, len(state.PeerCertificates), state.NegotiatedProtocol)
	if http {
		_, _ = fmt.Fprintf(server, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", bytes)
	}
	_, _ = server.Write(make([]byte, bytes))
	_ = server.CloseWrite()
	_, _ = server.Read(request)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	cert := flag.String("cert", "", "certificate file")
	key := flag.String("key", "", "key file")
	min := flag.Uint("min", tls.VersionTLS12, "lowest version")
	max := flag.Uint("max", tls.VersionTLS13, "highest version")
	suites := flag.String("suites", "", "TLS 1.2 suites, numbers")
	groups := flag.String("groups", "", "groups, numbers")
	alpn := flag.String("alpn", "", "protocols")
	ca := flag.String("client-ca", "", "require a client certificate of this authority")
	bytes := flag.Int("bytes", 1000, "length of the answer")
	http := flag.Bool("http", false, "the answer is one of HTTP/1.1")
	flag.Parse()
	pair, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   uint16(*min),
		MaxVersion:   uint16(*max),
		CipherSuites: numbers(*suites),
	}
	for _, group := range numbers(*groups) {
		config.CurvePreferences = append(config.CurvePreferences, tls.CurveID(group))
	}
	if *alpn != "" {
		config.NextProtos = strings.Split(*alpn, ",")
	}
	if *ca != "" {
		text, err := os.ReadFile(*ca)
		if err != nil {
			log.Fatal(err)
		}
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(text)
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(conn, config, *bytes, *http)
	}
}
