import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HexFormat;
import org.apache.catalina.startup.Tomcat;

/**
 * An origin in Tomcat that answers with the path by which Tomcat selects a servlet, and prints a line
 * for each request whose body is complete: {@code 200 METHOD PATH HEX}, with the body in hexadecimal
 * digits.
 */
public class TomcatOrigin extends HttpServlet {
    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        String content = HexFormat.of().formatHex(request.getInputStream().readAllBytes());
        String line = "200 " + request.getMethod() + " " + request.getRequestURI() + " " + content;
        synchronized (System.out) {
            System.out.println(line);
        }
        String info = request.getPathInfo();
        String served = request.getServletPath() + (info == null ? "" : info);
        byte[] body = served.getBytes(StandardCharsets.UTF_8);
        response.setContentLength(body.length);
        response.getOutputStream().write(body);
    }

    /** Listens on a free port and prints it. The argument is the folder for Tomcat's files. */
    public static void main(String[] arguments) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(arguments[0]);
        tomcat.setHostname("127.0.0.1");
        tomcat.setPort(0);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        var context = tomcat.addContext("", Path.of(arguments[0]).toAbsolutePath().toString());
        Tomcat.addServlet(context, "all", new TomcatOrigin());
        context.addServletMappingDecoded("/*", "all");
        tomcat.start();
        System.out.println(tomcat.getConnector().getLocalPort());
        tomcat.getServer().await();
    }
}
