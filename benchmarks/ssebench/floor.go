package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const floorAnswer = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n:ok\n\n"

// serverOptions are those of our server's sockets (eventstreams_site/server/flow.py), besides Go's TCP_NODELAY.
var serverOptions = map[int]int{tcpNotsentLowat: 64 << 10, tcpUserTimeout: 60_000}

const (
	tcpUserTimeout  = 18
	tcpNotsentLowat = 25
)

// floor is the least that a server can do: it writes events of -size bytes, -rate a second, to every socket, one system
// call for each socket and -together events. It knows neither Kafka nor HTTP, and ends with its parent.
//
// Go's scheduler is kept out of it: with syscall.Write, which tells it of each call, it took an eighth of the CPU, and
// moved the writer from thread to thread. So it costs as much as the same loop in C.
func floor() error {
	runtime.LockOSThread()
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	sockets := &sockets{}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go sockets.answer(conn)
		}
	}()
	parent, begin, event := os.Getppid(), time.Now(), 0
	for number := 1.0; os.Getppid() == parent; number++ {
		due := int(number * *together)
		time.Sleep(time.Until(begin.Add(time.Duration(number * *together / *rate * 1e9))))
		round := []byte{}
		for ; event < due; event++ {
			round = append(round, floorEvent(event, *size)...)
		}
		sockets.write(round)
	}
	return nil
}

// floorEvent is an event of a given size as ssebench reads it, stamped now.
func floorEvent(seq, size int) []byte {
	tail := fmt.Appendf(nil, `"sent_us":%d,"seq":%d}`+"\n\n", time.Now().UnixMicro(), seq)
	head := []byte(`data: {"pad":"`)
	pad := max(0, size-len(head)-len(tail)-len(`",`))
	return bytes.Join([][]byte{head, bytes.Repeat([]byte("x"), pad), []byte(`",`), tail}, nil)
}

// sockets are the descriptors that are written to, past Go's own buffers and locks.
type sockets struct {
	lock sync.Mutex
	all  []int
}

// answer reads a request; from then on the socket gets all events, until it fails.
func (s *sockets) answer(conn net.Conn) {
	request := make([]byte, 4096)
	if _, err := conn.Read(request); err != nil {
		return
	}
	file, err := conn.(*net.TCPConn).File() // its own descriptor, which the runtime does not poll
	conn.Close()
	if err != nil {
		return
	}
	descriptor, err := syscall.Dup(int(file.Fd()))
	file.Close()
	if err != nil {
		return
	}
	syscall.SetNonblock(descriptor, true)
	for option, value := range serverOptions {
		syscall.SetsockoptInt(descriptor, syscall.IPPROTO_TCP, option, value)
	}
	if _, err := syscall.Write(descriptor, []byte(floorAnswer)); err != nil {
		return
	}
	s.lock.Lock()
	s.all = append(s.all, descriptor)
	s.lock.Unlock()
}

// write gives a round to every socket. One that does not take all of it would cost more than the least: it is closed.
func (s *sockets) write(round []byte) {
	s.lock.Lock()
	defer s.lock.Unlock()
	kept := s.all[:0]
	for _, descriptor := range s.all {
		if send(descriptor, round) < len(round) {
			syscall.Close(descriptor)
			continue
		}
		kept = append(kept, descriptor)
	}
	s.all = kept
}

// send is one system call: how many bytes the socket has taken; 0 after an error, and for nothing to send.
func send(descriptor int, data []byte) int {
	sent, _, failed := syscall.RawSyscall(
		syscall.SYS_WRITE, uintptr(descriptor), uintptr(unsafe.Pointer(unsafe.SliceData(data))), uintptr(len(data)),
	)
	if failed != 0 {
		return 0
	}
	return int(sent)
}
