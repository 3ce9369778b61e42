// A WebSocket server with gorilla/websocket (Debian: golang-github-gorilla-websocket-dev): echoes; "close CODE REASON" closes with that.
package main

import (
	"flag"
	"log"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

func main() {
	listen := flag.String("listen", "", "")
	cert := flag.String("cert", "", "")
	key := flag.String("key", "", "")
	flag.Parse()
	http.HandleFunc("/refuse", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{EnableCompression: true, Subprotocols: websocket.Subprotocols(r)}
		ws, err := upgrader.Upgrade(w, r, http.Header{"Set-Cookie": {"seen=yes; Path=/"}})
		if err != nil {
			return
		}
		defer ws.Close()
		for {
			kind, data, err := ws.ReadMessage()
			if err != nil {
				return
			}
			if text := string(data); kind == websocket.TextMessage && strings.HasPrefix(text, "close ") {
				parts := strings.SplitN(text, " ", 3)
				code, _ := strconv.Atoi(parts[1])
				ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, parts[2]), time.Now().Add(time.Second))
				ws.ReadMessage()
				return
			}
			if ws.WriteMessage(kind, data) != nil {
				return
			}
		}
	})
	log.Fatal(http.ListenAndServeTLS(*listen, *cert, *key, nil))
}
