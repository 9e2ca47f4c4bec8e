// An origin that answers with the path that it would serve: the path of `http.ServeMux`, cleaned as
// `http.FileServer` does. `ServeMux` redirects paths that it would clean itself.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strings"
)

func serve(response http.ResponseWriter, request *http.Request) {
	served := path.Clean(request.URL.Path)
	if strings.HasSuffix(request.URL.Path, "/") && served != "/" {
		served += "/"
	}
	io.WriteString(response, served)
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	mux := http.NewServeMux()
	mux.HandleFunc("/", serve)
	panic(http.Serve(listener, mux))
}
